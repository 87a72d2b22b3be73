#ifndef BLOCKFORMER_EVAL_BUILTIN_TASKS_H_
#define BLOCKFORMER_EVAL_BUILTIN_TASKS_H_

#include <optional>
#include <string_view>
#include <vector>

namespace blockformer {

// A task that comes with the program: a file of eval/tasks.
struct BuiltinTask {
  std::string_view name;
  std::string_view yaml;
};

// Prompts, metrics and versions are those of lm-evaluation-harness 0.4.7; records are
// {"ctx", "choices", "label"}, or {"text"} (lambada_openai), or {"page"} (wikitext).
std::vector<BuiltinTask> BuiltinTasks();

// Nothing if there is none of the name.
std::optional<BuiltinTask> FindBuiltinTask(std::string_view name);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_BUILTIN_TASKS_H_
