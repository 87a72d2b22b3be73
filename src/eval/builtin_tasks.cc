#include "eval/builtin_tasks.h"

#include "base/embedded_file.h"

namespace blockformer {

std::span<const EmbeddedFile> TaskFiles();  // those in eval/tasks

std::vector<BuiltinTask> BuiltinTasks() {
  std::vector<BuiltinTask> tasks;
  for (const EmbeddedFile& file : TaskFiles()) {
    const std::string_view name = file.name;
    tasks.push_back({name.substr(0, name.rfind('.')), file.text()});
  }
  return tasks;
}

std::optional<BuiltinTask> FindBuiltinTask(std::string_view name) {
  for (const BuiltinTask& task : BuiltinTasks()) {
    if (task.name == name) return task;
  }
  return std::nullopt;
}

}  // namespace blockformer
