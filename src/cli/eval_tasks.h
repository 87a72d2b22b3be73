#ifndef BLOCKFORMER_CLI_EVAL_TASKS_H_
#define BLOCKFORMER_CLI_EVAL_TASKS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/eval_flags.h"
#include "cli/eval_output.h"

namespace blockformer {

struct TaskFlags {
  std::vector<std::string> tasks;  // names of built-in ones, or YAML files
  std::string data;                // the folder of their data; empty: as ReadTask() says
};

// `blockformer eval --tasks`: evaluates a model on tasks, on the first `limit` records of each.
// With `output.json`, an interrupted run leaves its scores in JSON.partial, from which the same
// command goes on. `eval` has been applied, `output` checked.
void EvaluateTasks(const std::string& model, const TaskFlags& flags, std::optional<int64_t> limit,
                   const EvalFlags& eval, const EvalOutput& output);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_TASKS_H_
