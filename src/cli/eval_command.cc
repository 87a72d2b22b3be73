// `blockformer eval`: flags, and which of its modes they ask for. The work lies in eval/.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/corpus_flags.h"
#include "cli/eval_flags.h"
#include "cli/eval_loss.h"
#include "cli/eval_needle.h"
#include "cli/eval_output.h"
#include "cli/eval_positions.h"
#include "cli/eval_tasks.h"
#include "cli/flags.h"
#include "config/json.h"
#include "data/token_file_info.h"
#include "eval/builtin_tasks.h"
#include "eval/compare_reports.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxLimit = int64_t{1} << 40;

struct Flags {
  std::vector<std::string> models;
  std::vector<std::string> data;
  std::vector<std::string> compare;
  std::string show_task;
  std::optional<int64_t> limit;
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
  EvaluateTasks(flags.models[0], tasks, flags.limit, flags.eval, flags.output);
}

// What the flags ask for.
enum class Mode { kTasks, kLoss, kLossByPosition, kNeedle, kCompare };

Mode ChooseMode(const Flags& flags) {
  const std::pair<const char*, bool> asked[] = {{"--tasks", !flags.tasks.tasks.empty()},
                                                {"--loss", flags.loss},
                                                {"--loss-by-position", flags.positions.is_wanted},
                                                {"--needle", flags.needle.is_wanted},
                                                {"--compare", !flags.compare.empty()}};
  std::optional<size_t> mode;
  for (size_t i = 0; i < std::size(asked); ++i) {
    if (!asked[i].second) continue;
    Require(!mode, ErrorCode::kInvalidArgument, "{} and {} exclude each other",
            asked[mode.value_or(0)].first, asked[i].first);
    mode = i;
  }
  return static_cast<Mode>(mode.value_or(0));
}

// Flags that are given must have a meaning in the mode.
void RefuseFlagsOfOtherModes(Mode mode, const CLI::App& command) {
  constexpr Mode kTasks = Mode::kTasks;
  constexpr Mode kLoss = Mode::kLoss;
  constexpr Mode kPositions = Mode::kLossByPosition;
  constexpr Mode kNeedle = Mode::kNeedle;
  const std::pair<const char*, std::vector<Mode>> meanings[] = {
      {"--padding", {kTasks, kPositions}},
      {"--plain-text", {kTasks, kPositions, kNeedle}},
      {"--replace-invalid", {kTasks, kPositions, kNeedle}},
      {"--field", {kPositions, kNeedle}},
      {"--input-format", {kPositions, kNeedle}},
      {"--skip-null", {kPositions, kNeedle}},
      {"--max-length", {kTasks}},
      {"--batch-tokens", {kTasks, kPositions}},
      {"--dtype", {kTasks, kLoss, kPositions, kNeedle}},
      {"--threads", {kTasks, kLoss, kPositions, kNeedle}},
      {"--data", {kTasks, kLoss, kPositions, kNeedle}},
      {"--limit", {kTasks, kLoss, kPositions}},
      {"--plot", {kPositions, kNeedle}},
      {"--context", {kPositions}},
      {"--bins", {kPositions}},
      {"--needle-form", {kNeedle}},
      {"--lengths", {kNeedle}},
      {"--depths", {kNeedle}},
      {"--samples", {kNeedle}},
      {"--seed", {kNeedle}}};
  constexpr const char* kNames[] = {"tasks", "--loss", "--loss-by-position", "--needle",
                                    "--compare"};
  for (const auto& [flag, modes] : meanings) {
    const bool has_meaning = std::ranges::find(modes, mode) != modes.end();
    Require(has_meaning || command.count(flag) == 0, ErrorCode::kInvalidArgument,
            "{}: has no meaning with {}", flag, kNames[static_cast<size_t>(mode)]);
  }
}

// All that may be read; built-in tasks' names are no paths, or hurt nobody where they are.
std::vector<std::string> InputsOf(const Flags& flags) {
  std::vector<std::string> inputs = flags.models;
  for (const std::string& path : flags.data) {
    inputs.push_back(path);
    std::ranges::move(TokenFilePaths(TokenFilePrefix(path)), std::back_inserter(inputs));
  }
  inputs.insert(inputs.end(), flags.compare.begin(), flags.compare.end());
  inputs.insert(inputs.end(), flags.tasks.tasks.begin(), flags.tasks.tasks.end());
  return inputs;
}

void Evaluate(Flags flags, const CLI::App& command) {
  if (!flags.show_task.empty()) return ShowTask(flags.show_task);
  const Mode mode = ChooseMode(flags);
  RefuseFlagsOfOtherModes(mode, command);
  Require(flags.models.empty() == (mode == Mode::kCompare), ErrorCode::kInvalidArgument, "eval: {}",
          mode == Mode::kCompare ? "--compare takes two results and no model"
                                 : "no model is given; a model directory is wanted");
  if (flags.limit) RequireInRange("--limit", *flags.limit, 1, kMaxLimit);
  flags.eval.Apply();
  flags.output.Check(InputsOf(flags));
  switch (mode) {
    case Mode::kTasks:
      return RunTasks(flags);
    case Mode::kLoss:
      return EvaluateLoss(flags.models, OnlyData(flags, "one token file"), flags.limit, flags.eval,
                          flags.output);
    case Mode::kLossByPosition:
      return EvaluateLossByPosition(flags.models, flags.data, flags.positions, flags.eval,
                                    flags.limit, flags.output);
    case Mode::kNeedle:
      return EvaluateNeedle(flags.models, flags.data, flags.needle, flags.eval, flags.output);
    case Mode::kCompare:
      return Compare(flags);
  }
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
      ->allow_extra_args(false)
      ->type_name("NAME,...");
  command
      ->add_option("--data", flags->data,
                   "Tasks: the folder of their data; without it eval-data, where `blockformer "
                   "eval-data` puts it, or a YAML file's own. Other modes: the file to read; "
                   "may be repeated")
      ->allow_extra_args(false)
      ->type_name("PATH");
  command
      ->add_option("--limit", flags->limit,
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
                   "Where results go, of tasks with each record's; - is standard output. An "
                   "interrupted run of tasks continues")
      ->type_name("FILE");
  command->add_option("--plot", flags->output.plot, "A picture of the results, .svg or .png")
      ->type_name("FILE");
  command->add_flag("--force", flags->output.force, "Replace files that are there");
  AddCorpusFlags(command, &flags->eval.corpus);
  flags->eval.AddTo(command);
  command->callback([flags, command] { Evaluate(*flags, *command); });
}

}  // namespace blockformer
