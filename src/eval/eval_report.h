#ifndef BLOCKFORMER_EVAL_EVAL_REPORT_H_
#define BLOCKFORMER_EVAL_EVAL_REPORT_H_

#include <span>
#include <string>
#include <vector>

#include "config/json.h"
#include "eval/task_scores.h"

namespace blockformer {

// The results of tasks in the schema of lm-evaluation-harness 0.4: "results" has each metric as
// "NAME,none" with "NAME_stderr,none" (or "N/A"), beside "configs", "versions", "n-shot",
// "higher_is_better", "n-samples", and "samples" with what each item adds and, as "filtered_resps",
// what the model said. "task_hashes" tells whether two reports are of the same requests. A value
// that is not finite is null. `scores` are those of all requests, in order; `config` says what was
// run.
OrderedJson MakeEvalReport(const std::vector<TaskData>& tasks, std::span<const RequestScore> scores,
                           const OrderedJson& config);

// Its table, in the form of the harness's.
std::string EvalTable(const OrderedJson& report);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_EVAL_REPORT_H_
