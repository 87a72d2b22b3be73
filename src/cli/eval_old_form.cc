#include "cli/eval_old_form.h"

#include <algorithm>
#include <cstddef>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace blockformer {
namespace {

struct Mode {
  const char* flag;
  const char* command;
};

constexpr Mode kModes[] = {{"--loss", "loss"},
                           {"--loss-by-position", "positions"},
                           {"--needle", "needle"},
                           {"--compare", "compare"},
                           {"--show-task", "show-task"}};
constexpr Mode kTasks = {"--tasks", "tasks"};

// A command within `eval` comes first, and is neither a flag nor, unless one is called so, a file.
bool IsOldForm(const std::vector<std::string>& arguments) {
  if (arguments.size() < 2 || arguments[0] != "eval") return false;
  const std::string& first = arguments[1];
  if (first == "-h" || first == "--help" || first == kTasks.command) return false;
  if (std::ranges::any_of(kModes, [&](const Mode& mode) { return first == mode.command; })) {
    return false;
  }
  return first.starts_with("-") || FileExists(first);
}

}  // namespace

std::vector<std::string> WithEvalCommand(std::vector<std::string> arguments) {
  if (!IsOldForm(arguments)) return arguments;
  const Mode* chosen = nullptr;
  const auto asks_for_tasks = [](const std::string& argument) {
    return argument == kTasks.flag || argument.starts_with("--tasks=");
  };
  if (std::ranges::any_of(arguments, asks_for_tasks)) chosen = &kTasks;
  for (const Mode& mode : kModes) {
    const auto flag = std::ranges::find(arguments, mode.flag);
    if (flag == arguments.end()) continue;
    Require(chosen == nullptr, ErrorCode::kInvalidArgument, "{} and {} exclude each other",
            chosen == nullptr ? "" : chosen->flag, mode.flag);
    chosen = &mode;
    arguments.erase(flag);
  }
  if (chosen == nullptr) chosen = &kTasks;
  std::ranges::replace(arguments, std::string("--needle-form"), std::string("--form"));
  arguments.insert(arguments.begin() + 1, chosen->command);
  LogWarning("`eval MODEL {}` is now `eval {} MODEL`", chosen->flag, chosen->command);
  return arguments;
}

}  // namespace blockformer
