#ifndef BLOCKFORMER_EVAL_EVAL_REPORT_H_
#define BLOCKFORMER_EVAL_EVAL_REPORT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/json.h"
#include "eval/metrics.h"
#include "eval/task_scores.h"

namespace blockformer {

struct ItemResult {
  std::optional<int64_t> target;      // TaskItem::target
  std::vector<RequestScore> scores;   // of the item's requests
  std::vector<MetricSample> samples;  // what it adds to each of the task's metrics
};

struct TaskResult {
  Task task;
  std::string hash;                 // HashOf() its records
  std::vector<MetricValue> values;  // of each of the task's metrics
  std::vector<ItemResult> items;
};

// `scores` are those of all requests, in order.
std::vector<TaskResult> TaskResults(const std::vector<TaskData>& tasks,
                                    std::span<const RequestScore> scores);

// The schema of lm-evaluation-harness 0.4: "results" has each metric as "NAME,none" with
// "NAME_stderr,none" (or "N/A"), beside "configs", "versions", "n-shot", "higher_is_better",
// "n-samples", and "samples" with what each item adds and, as "filtered_resps", what the model
// said. "task_hashes" tells whether two reports are of the same requests. A value that is not
// finite is written as null. `config` says what was run.
OrderedJson TaskResultsJson(const std::vector<TaskResult>& results, const OrderedJson& config);

// In the form of the harness's table.
std::string TaskResultsTable(const std::vector<TaskResult>& results);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_EVAL_REPORT_H_
