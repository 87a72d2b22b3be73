#ifndef BLOCKFORMER_CLI_EVAL_TASKS_H_
#define BLOCKFORMER_CLI_EVAL_TASKS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/eval_flags.h"

namespace blockformer {

struct TaskFlags {
  std::vector<std::string> tasks;  // names of built-in ones, or YAML files
  std::string data;                // the folder of their data; empty: as ReadTask() says
  std::optional<int64_t> limit;    // records of each task
  std::string json;                // where results go; empty: nowhere but to the table
  bool force = false;              // replace `json` if it is there
};

// Evaluates a model on tasks and prints the table. With `json`, an interrupted run leaves its
// scores in JSON.partial, from which the same command goes on.
void EvaluateTasks(const std::string& model, const TaskFlags& flags, const EvalFlags& eval);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_TASKS_H_
