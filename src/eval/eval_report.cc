#include "eval/eval_report.h"

#include <fmt/format.h>

#include "eval/markdown_table.h"
#include "eval/metrics.h"

namespace blockformer {
namespace {

OrderedJson ConfigOf(const Task& task) {
  OrderedJson metrics = OrderedJson::array();
  for (const Metric metric : task.metrics) metrics.push_back({{"metric", MetricName(metric)}});
  return {{"task", task.name},
          {"dataset_path", "json"},
          {"dataset_kwargs", {{"data_files", task.data_files}}},
          {"output_type", OutputTypeName(task.output_type)},
          {"target_delimiter", task.target_delimiter},
          {"num_fewshot", 0},
          {"metric_list", metrics}};
}

// `values` are what the item adds to each of the task's metrics.
OrderedJson SampleJson(const TaskData& data, size_t index, std::span<const RequestScore> scores,
                       const std::vector<MetricSample>& values) {
  const TaskItem& item = data.items[index];
  OrderedJson sample = {{"doc_id", index}};
  if (item.target >= 0) sample["target"] = item.target;
  OrderedJson& responses = sample["filtered_resps"] = OrderedJson::array();
  for (const RequestScore& score : scores) {
    if (data.task.output_type == OutputType::kLogLikelihoodRolling) {
      responses.push_back(score.log_likelihood);
    } else {
      responses.push_back({score.log_likelihood, score.is_greedy});
    }
  }
  for (size_t m = 0; m < values.size(); ++m) {
    OrderedJson& entry = sample[MetricName(data.task.metrics[m])];
    if (IsWeighted(data.task.metrics[m])) {
      entry = {values[m].value, values[m].weight};
    } else {
      entry = values[m].value;
    }
  }
  return sample;
}

}  // namespace

OrderedJson MakeEvalReport(const std::vector<TaskData>& tasks, std::span<const RequestScore> scores,
                           const OrderedJson& config) {
  OrderedJson report;
  for (const char* section : {"results", "configs", "versions", "n-shot", "higher_is_better",
                              "n-samples", "task_hashes", "config", "samples"}) {
    report[section] = OrderedJson::object();
  }
  report["config"] = config;
  for (const TaskData& data : tasks) {
    const std::string& name = data.task.name;
    std::vector<std::vector<MetricSample>> values(data.task.metrics.size());
    OrderedJson& samples = report["samples"][name] = OrderedJson::array();
    for (size_t i = 0; i < data.items.size(); ++i) {
      const TaskItem& item = data.items[i];
      const auto item_scores = scores.first(item.requests.size());
      scores = scores.subspan(item.requests.size());
      std::vector<MetricSample> item_values;
      for (size_t m = 0; m < values.size(); ++m) {
        item_values.push_back(SampleOf(data.task.metrics[m], item, item_scores));
        values[m].push_back(item_values.back());
      }
      samples.push_back(SampleJson(data, i, item_scores, item_values));
    }
    OrderedJson& results = report["results"][name];
    results["alias"] = name;
    for (size_t m = 0; m < values.size(); ++m) {
      const std::string metric = MetricName(data.task.metrics[m]);
      const MetricValue value = Aggregate(data.task.metrics[m], values[m]);
      results[metric + ",none"] = value.value;
      OrderedJson& error = results[metric + "_stderr,none"] = "N/A";
      if (value.standard_error) error = *value.standard_error;
      report["higher_is_better"][name][metric] = HigherIsBetter(data.task.metrics[m]);
    }
    report["configs"][name] = ConfigOf(data.task);
    report["versions"][name] = data.task.version;
    report["n-shot"][name] = 0;
    report["n-samples"][name] = {{"effective", data.items.size()}};
    report["task_hashes"][name] = HashOf(data);
  }
  return report;
}

std::string EvalTable(const OrderedJson& report) {
  constexpr std::string_view kFilter = ",none";
  constexpr std::string_view kErrorSuffix = "_stderr,none";
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, results] : report["results"].items()) {
    const Json sorted = Json::parse(results.dump());  // by metric
    bool is_first = true;
    for (const auto& [key, value] : sorted.items()) {
      if (!key.ends_with(kFilter) || key.ends_with(kErrorSuffix)) continue;
      const std::string metric = key.substr(0, key.size() - kFilter.size());
      const Json& error = sorted[metric + std::string(kErrorSuffix)];
      rows.push_back({is_first ? name : "",
                      is_first ? fmt::format("{}", report["versions"][name].get<double>()) : "",
                      "none", fmt::format("{}", report["n-shot"][name].get<int>()), metric,
                      report["higher_is_better"][name][metric].get<bool>() ? "↑" : "↓",
                      value.is_null() ? "inf" : fmt::format("{:.4f}", value.get<double>()), "±",
                      error.is_number() ? fmt::format("{:.4f}", error.get<double>()) : "N/A"});
      is_first = false;
    }
  }
  return MarkdownTable({{"Tasks"},
                        {"Version", true},
                        {"Filter"},
                        {"n-shot", true},
                        {"Metric"},
                        {""},
                        {"Value", true},
                        {""},
                        {"Stderr", true}},
                       rows);
}

}  // namespace blockformer
