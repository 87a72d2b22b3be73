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
#include "cli/eval_needle.h"
#include "cli/eval_output.h"
#include "cli/eval_positions.h"
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
  PositionFlags positions;
  NeedleFlags needle;
  EvalFlags eval;
  EvalOutput output;
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
  flags.output.Write(comparison, ReportComparisonTable(comparison));
}

std::string OnlyData(const Flags& flags, const char* wanted) {
  Require(flags.data.size() == 1, ErrorCode::kInvalidArgument,
          "--data: {} paths are given; {} is wanted", flags.data.size(), wanted);
  return flags.data[0];
}

void RunTasks(const Flags& flags) {
  Require(flags.models.size() == 1, ErrorCode::kInvalidArgument,
          "eval: {} models are given; tasks take one, and --compare puts two results side by side",
          flags.models.size());
  TaskFlags tasks = flags.tasks;
  if (!flags.data.empty()) {
    tasks.data = OnlyData(flags, "the folder of the tasks' data");
    Require(IsDirectory(tasks.data), ErrorCode::kInvalidArgument,
            "--data: {} is no folder; that of the tasks' data is wanted", tasks.data);
  }
  if (tasks.tasks.empty()) tasks.tasks = BuiltinTaskNames();
  EvaluateTasks(flags.models[0], tasks, flags.eval, flags.output);
}

// At most one of them.
void CheckModes(const Flags& flags) {
  std::vector<std::string> modes;
  if (!flags.tasks.tasks.empty()) modes.emplace_back("--tasks");
  if (flags.loss) modes.emplace_back("--loss");
  if (flags.positions.is_wanted) modes.emplace_back("--loss-by-position");
  if (flags.needle.is_wanted) modes.emplace_back("--needle");
  if (!flags.compare.empty()) modes.emplace_back("--compare");
  Require(modes.size() <= 1, ErrorCode::kInvalidArgument, "{} exclude each other",
          fmt::join(modes, " and "));
  const bool has_plot = flags.positions.is_wanted || flags.needle.is_wanted;
  Require(flags.output.plot.empty() || has_plot, ErrorCode::kInvalidArgument,
          "--plot: only --loss-by-position and --needle have a picture");
  Require(!flags.models.empty() || !flags.compare.empty(), ErrorCode::kInvalidArgument,
          "eval: no model is given; a model directory is wanted");
  Require(!flags.tasks.limit || *flags.tasks.limit > 0, ErrorCode::kInvalidArgument,
          "--limit: {} is out of range; 1 or more is wanted", flags.tasks.limit.value_or(0));
}

void Evaluate(const Flags& given) {
  if (!given.show_task.empty()) return ShowTask(given.show_task);
  Flags flags = given;
  CheckModes(flags);
  flags.eval.Apply();
  flags.output.Check();
  if (!flags.compare.empty()) return Compare(flags);
  if (flags.loss) {
    return EvaluateLoss(flags.models, OnlyData(flags, "one token file"), flags.tasks.limit,
                        flags.eval, flags.output);
  }
  if (flags.positions.is_wanted) {
    return EvaluateLossByPosition(flags.models, flags.data, flags.positions, flags.eval,
                                  flags.tasks.limit, flags.output);
  }
  if (flags.needle.is_wanted) {
    return EvaluateNeedle(flags.models, flags.data, flags.needle, flags.eval, flags.output);
  }
  RunTasks(flags);
}

}  // namespace

void AddEvalCommand(CLI::App& app) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand(
      "eval",
      "Evaluates models: zero-shot tasks as lm-evaluation-harness does them, or one of --loss, "
      "--loss-by-position, --needle; or compares two results.");
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
                   "Tasks: the folder of their data; without it eval-data, where `blockformer "
                   "eval-data` puts it, or a YAML file's own. Other modes: the files to read")
      ->type_name("PATH");
  command
      ->add_option("--limit", flags->tasks.limit,
                   "Only N records of each task, samples (--loss) or windows (--loss-by-position)")
      ->type_name("N");
  command->add_flag("--loss", flags->loss,
                    "The loss on a token file, --data PREFIX, as the trainer's validation measures "
                    "it");
  flags->positions.AddTo(command);
  flags->needle.AddTo(command);
  command
      ->add_option("--compare", flags->compare,
                   "Two --json files of tasks: differences, and whether they are significant")
      ->expected(2)
      ->type_name("A B");
  command->add_option("--show-task", flags->show_task, "Prints a built-in task, to be adapted")
      ->type_name("NAME");
  command
      ->add_option("--json", flags->output.json,
                   "Where results go, of tasks with each record's; - for standard output. An "
                   "interrupted run of tasks continues")
      ->type_name("FILE");
  command->add_option("--plot", flags->output.plot, "A picture of the results, .svg or .png")
      ->type_name("FILE");
  command->add_flag("--force", flags->output.force, "Replace files that are there");
  flags->eval.AddTo(command);
  command->callback([flags] { Evaluate(*flags); });
}

}  // namespace blockformer
