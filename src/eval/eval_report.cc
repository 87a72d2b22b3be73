#include "eval/eval_report.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "base/table.h"

namespace blockformer {
namespace {

// Takes the task's scores off the front of `scores`.
TaskResult ResultOf(const TaskData& data, std::span<const RequestScore>* scores) {
  TaskResult result = {data.task, HashOf(data), {}, {}};
  std::vector<std::vector<MetricSample>> samples(data.task.metrics.size());
  for (const TaskItem& item : data.items) {
    const auto item_scores = scores->first(item.requests.size());
    *scores = scores->subspan(item.requests.size());
    ItemResult& entry = result.items.emplace_back(
        ItemResult{item.target, {item_scores.begin(), item_scores.end()}, {}});
    for (size_t m = 0; m < samples.size(); ++m) {
      entry.samples.push_back(SampleOf(data.task.metrics[m], item, item_scores));
      samples[m].push_back(entry.samples.back());
    }
  }
  for (size_t m = 0; m < samples.size(); ++m) {
    result.values.push_back(Aggregate(data.task.metrics[m], samples[m]));
  }
  return result;
}

OrderedJson ConfigJson(const Task& task) {
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

OrderedJson ItemJson(const Task& task, const ItemResult& item, size_t index) {
  OrderedJson json = {{"doc_id", index}};
  if (item.target) json["target"] = *item.target;
  OrderedJson& responses = json["filtered_resps"] = OrderedJson::array();
  for (const RequestScore& score : item.scores) {
    if (task.output_type == OutputType::kLogLikelihoodRolling) {
      responses.push_back(score.log_likelihood);
    } else {
      responses.push_back({score.log_likelihood, score.is_greedy});
    }
  }
  for (size_t m = 0; m < task.metrics.size(); ++m) {
    const MetricSample& sample = item.samples[m];
    OrderedJson& entry = json[MetricName(task.metrics[m])];
    if (IsWeighted(task.metrics[m])) {
      entry = {sample.value, sample.weight};
    } else {
      entry = sample.value;
    }
  }
  return json;
}

}  // namespace

std::vector<TaskResult> TaskResults(const std::vector<TaskData>& tasks,
                                    std::span<const RequestScore> scores) {
  std::vector<TaskResult> results;
  for (const TaskData& data : tasks) results.push_back(ResultOf(data, &scores));
  return results;
}

OrderedJson TaskResultsJson(const std::vector<TaskResult>& results, const OrderedJson& config) {
  OrderedJson report;
  for (const char* section : {"results", "configs", "versions", "n-shot", "higher_is_better",
                              "n-samples", "task_hashes", "config", "samples"}) {
    report[section] = OrderedJson::object();
  }
  report["config"] = config;
  for (const TaskResult& result : results) {
    const Task& task = result.task;
    const std::string& name = task.name;
    OrderedJson& values = report["results"][name];
    values["alias"] = name;
    for (size_t m = 0; m < task.metrics.size(); ++m) {
      const std::string metric = MetricName(task.metrics[m]);
      values[metric + ",none"] = result.values[m].value;
      OrderedJson& error = values[metric + "_stderr,none"] = "N/A";
      if (result.values[m].standard_error) error = *result.values[m].standard_error;
      report["higher_is_better"][name][metric] = HigherIsBetter(task.metrics[m]);
    }
    report["configs"][name] = ConfigJson(task);
    report["versions"][name] = task.version;
    report["n-shot"][name] = 0;
    report["n-samples"][name] = {{"effective", result.items.size()}};
    report["task_hashes"][name] = result.hash;
    OrderedJson& samples = report["samples"][name] = OrderedJson::array();
    for (size_t i = 0; i < result.items.size(); ++i) {
      samples.push_back(ItemJson(task, result.items[i], i));
    }
  }
  return report;
}

std::string TaskResultsTable(const std::vector<TaskResult>& results) {
  const auto number = [](double value, const char* otherwise) {
    return std::isfinite(value) ? fmt::format("{:.4f}", value) : std::string(otherwise);
  };
  std::vector<std::vector<std::string>> rows;
  for (const TaskResult& result : results) {
    std::map<std::string, size_t> metrics;  // by name
    for (size_t m = 0; m < result.values.size(); ++m) {
      metrics[MetricName(result.task.metrics[m])] = m;
    }
    bool is_first = true;
    for (const auto& [name, m] : metrics) {
      const MetricValue& value = result.values[m];
      rows.push_back({is_first ? result.task.name : "",
                      is_first ? fmt::format("{}", result.task.version) : "", "none", "0", name,
                      HigherIsBetter(result.task.metrics[m]) ? "↑" : "↓",
                      number(value.value, "inf"), "±",
                      value.standard_error ? number(*value.standard_error, "N/A") : "N/A"});
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
