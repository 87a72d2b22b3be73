#include "eval/eval_report.h"

#include <fmt/format.h>

#include "eval/markdown_table.h"
#include "eval/metrics.h"

namespace blockformer {
namespace {

bool HasWeights(Metric metric) {
  return metric == Metric::kWordPerplexity || metric == Metric::kBytePerplexity ||
         metric == Metric::kBitsPerByte;
}

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

OrderedJson SampleJson(const TaskData& data, size_t index, std::span<const RequestScore> scores) {
  const TaskItem& item = data.items[index];
  OrderedJson sample = {{"doc_id", index}};
  if (item.target >= 0) sample["target"] = item.target;
  OrderedJson& responses = sample["resps"] = OrderedJson::array();
  for (const RequestScore& score : scores) {
    if (data.task.output_type == OutputType::kLogLikelihoodRolling) {
      responses.push_back({score.log_likelihood});
    } else {
      responses.push_back({score.log_likelihood, score.is_greedy});
    }
  }
  for (const Metric metric : data.task.metrics) {
    const MetricSample value = SampleOf(metric, item, scores);
    OrderedJson& entry = sample[MetricName(metric)];
    if (HasWeights(metric)) {
      entry = {value.value, value.weight};
    } else {
      entry = value.value;
    }
  }
  return sample;
}

}  // namespace

OrderedJson MakeEvalReport(const std::vector<TaskData>& tasks, std::span<const RequestScore> scores,
                           const OrderedJson& config) {
  OrderedJson report = {{"results", OrderedJson::object()},
                        {"configs", OrderedJson::object()},
                        {"versions", OrderedJson::object()},
                        {"n-shot", OrderedJson::object()},
                        {"n-samples", OrderedJson::object()},
                        {"task_hashes", OrderedJson::object()},
                        {"config", config},
                        {"samples", OrderedJson::object()}};
  for (const TaskData& data : tasks) {
    const std::string& name = data.task.name;
    std::vector<std::vector<MetricSample>> values(data.task.metrics.size());
    OrderedJson& samples = report["samples"][name] = OrderedJson::array();
    for (size_t i = 0; i < data.items.size(); ++i) {
      const TaskItem& item = data.items[i];
      const auto item_scores = scores.first(item.requests.size());
      scores = scores.subspan(item.requests.size());
      for (size_t m = 0; m < values.size(); ++m) {
        values[m].push_back(SampleOf(data.task.metrics[m], item, item_scores));
      }
      samples.push_back(SampleJson(data, i, item_scores));
    }
    OrderedJson& results = report["results"][name];
    results["alias"] = name;
    for (size_t m = 0; m < values.size(); ++m) {
      const std::string metric = MetricName(data.task.metrics[m]);
      const MetricValue value = Aggregate(data.task.metrics[m], values[m]);
      results[metric + ",none"] = value.value;
      OrderedJson& error = results[metric + "_stderr,none"] = "N/A";
      if (value.standard_error) error = *value.standard_error;
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
    bool is_first = true;
    for (const auto& [key, value] : results.items()) {
      if (!key.ends_with(kFilter) || key.ends_with(kErrorSuffix)) continue;
      const std::string metric = key.substr(0, key.size() - kFilter.size());
      const OrderedJson& error = results[metric + std::string(kErrorSuffix)];
      rows.push_back({is_first ? name : "",
                      is_first ? fmt::format("{}", report["versions"][name].get<double>()) : "",
                      "none", fmt::format("{}", report["n-shot"][name].get<int>()), metric,
                      fmt::format("{:.4f}", value.get<double>()), "±",
                      error.is_number() ? fmt::format("{:.4f}", error.get<double>()) : "N/A"});
      is_first = false;
    }
  }
  return MarkdownTable({{"Tasks"},
                        {"Version", true},
                        {"Filter"},
                        {"n-shot", true},
                        {"Metric"},
                        {"Value", true},
                        {""},
                        {"Stderr", true}},
                       rows);
}

}  // namespace blockformer
