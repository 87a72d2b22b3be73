#ifndef BLOCKFORMER_EVAL_COMPARE_REPORTS_H_
#define BLOCKFORMER_EVAL_COMPARE_REPORTS_H_

#include <optional>
#include <string>
#include <vector>

#include "config/json.h"
#include "eval/task.h"

namespace blockformer {

struct MetricComparison {
  Metric metric = Metric::kAcc;
  double a = 0;
  double b = 0;
  // b - a. Of perplexities that of the mean log-likelihoods, in nats an item, word or byte; of
  // bits_per_byte in bits.
  double difference = 0;
  // Paired, and two-sided: how likely a difference as large is if the models are equally good. None
  // for fewer than 2 items. Accuracies: the exact test of McNemar on the items that one model alone
  // gets right. Otherwise a z-test.
  std::optional<double> standard_error;
  std::optional<double> p_value;
};

struct TaskComparison {
  std::string task;
  std::vector<MetricComparison> metrics;  // at least one
};

struct EvalComparison {
  std::string a;  // the reports' sources
  std::string b;
  std::vector<TaskComparison> tasks;
};

// Compares two reports of TaskResultsJson(), item by item: each metric of each task that both have.
// A metric that is null in a report is left out. Throws Error(kCorrupt) that opens with a source
// for what is no such report, Error(kInvalidArgument) if a task was run on other records, or no
// task is in both.
EvalComparison CompareEvalReports(const Json& a, const std::string& source_a, const Json& b,
                                  const std::string& source_b);

// "tasks" has of each task's metrics "a", "b", "difference", "standard_error" and "p_value".
OrderedJson EvalComparisonJson(const EvalComparison& comparison);

// For people.
std::string EvalComparisonTable(const EvalComparison& comparison);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_COMPARE_REPORTS_H_
