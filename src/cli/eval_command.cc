// `blockformer eval`: flags, and which of its modes they ask for. The work lies in eval/.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/eval_flags.h"
#include "cli/eval_loss.h"
#include "cli/eval_tasks.h"
#include "config/json.h"
#include "eval/builtin_tasks.h"
#include "eval/compare_reports.h"

namespace blockformer {
namespace {

struct Flags {
  std::vector<std::string> models;
  std::vector<std::string> data;
  std::vector<std::string> compare;
  std::string show_task;
  bool loss = false;
  TaskFlags tasks;
  EvalFlags eval;
};

std::vector<std::string> BuiltinTaskNames() {
  std::vector<std::string> names;
  for (const BuiltinTask& task : BuiltinTasks()) names.emplace_back(task.name);
  return names;
}

void ShowTask(const std::string& name) {
  const BuiltinTask* task = FindBuiltinTask(name);
  Require(task != nullptr, ErrorCode::kNotFound, "--show-task: \"{}\" is not built in; {} are",
          name, fmt::join(BuiltinTaskNames(), ", "));
  fmt::print("{}", task->yaml);
}

void Compare(const Flags& flags) {
  const std::string& a = flags.compare[0];
  const std::string& b = flags.compare[1];
  const OrderedJson comparison = CompareReports(ReadJsonFile(a), a, ReadJsonFile(b), b);
  if (!flags.tasks.json.empty()) {
    WriteFileAtomically(flags.tasks.json, ToText(comparison, 1) + "\n");
  }
  fmt::print("{}", ReportComparisonTable(comparison));
}

std::string OnlyData(const Flags& flags, const char* wanted) {
  Require(flags.data.size() == 1, ErrorCode::kInvalidArgument,
          "--data: {} paths are given; {} is wanted", flags.data.size(), wanted);
  return flags.data[0];
}

void RunTasks(Flags flags) {
  Require(flags.models.size() == 1, ErrorCode::kInvalidArgument,
          "eval: {} models are given; tasks take one, and --compare puts two results side by side",
          flags.models.size());
  if (!flags.data.empty()) {
    flags.tasks.data = OnlyData(flags, "the folder of the tasks' data");
    Require(IsDirectory(flags.tasks.data), ErrorCode::kInvalidArgument,
            "--data: {} is no folder; that of the tasks' data is wanted", flags.tasks.data);
  }
  if (flags.tasks.tasks.empty()) flags.tasks.tasks = BuiltinTaskNames();
  EvaluateTasks(flags.models[0], flags.tasks, flags.eval);
}

void Evaluate(const Flags& given) {
  if (!given.show_task.empty()) return ShowTask(given.show_task);
  Flags flags = given;
  flags.eval.Apply();
  Require(!FileExists(flags.tasks.json) || flags.tasks.force, ErrorCode::kInvalidArgument,
          "--json: {} is there already; --force replaces it", flags.tasks.json);
  if (!flags.compare.empty()) return Compare(flags);
  Require(!flags.models.empty(), ErrorCode::kInvalidArgument,
          "eval: no model is given; a model directory is wanted");
  Require(!flags.tasks.limit || *flags.tasks.limit > 0, ErrorCode::kInvalidArgument,
          "--limit: {} is out of range; 1 or more is wanted", flags.tasks.limit.value_or(0));
  if (flags.loss) {
    return EvaluateLoss(flags.models, OnlyData(flags, "one token file"), flags.tasks.limit,
                        flags.eval, flags.tasks.json);
  }
  RunTasks(flags);
}

}  // namespace

void AddEvalCommand(CLI::App& app) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand(
      "eval", "Evaluates a model on zero-shot tasks, as lm-evaluation-harness does.");
  command->add_option("model", flags->models, "Model directories; tasks take one")
      ->type_name("DIR");
  command
      ->add_option("--tasks", flags->tasks.tasks,
                   fmt::format("Built-in tasks or YAML files, with commas between them; without "
                               "it all built-in ones: {}",
                               fmt::join(BuiltinTaskNames(), ", ")))
      ->delimiter(',')
      ->type_name("NAME,...");
  command
      ->add_option("--data", flags->data,
                   "The folder of the tasks' data; without it eval-data, where `blockformer "
                   "eval-data` puts it, or a YAML file's own")
      ->type_name("PATH");
  command
      ->add_option("--limit", flags->tasks.limit,
                   "Only the first N records of each task; with --loss, N samples")
      ->type_name("N");
  command
      ->add_option("--json", flags->tasks.json,
                   "Where results go, each record's among them; an interrupted run continues")
      ->type_name("FILE");
  command->add_flag("--force", flags->tasks.force, "Replace a --json file that is there");
  command
      ->add_option("--compare", flags->compare,
                   "Two --json files: differences, and whether they are significant")
      ->expected(2)
      ->type_name("A B");
  command->add_flag("--loss", flags->loss,
                    "The loss on a token file, --data PREFIX, as the trainer's validation measures "
                    "it; takes several models");
  command->add_option("--show-task", flags->show_task, "Prints a built-in task, to be adapted")
      ->type_name("NAME");
  flags->eval.AddTo(command);
  command->callback([flags] { Evaluate(*flags); });
}

}  // namespace blockformer
