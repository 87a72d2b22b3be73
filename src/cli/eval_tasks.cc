// `blockformer eval tasks`: zero-shot tasks as lm-evaluation-harness does them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/program.h"
#include "base/resumable_lines.h"
#include "base/stopwatch.h"
#include "bench/build_info.h"
#include "cli/corpus_flags.h"
#include "cli/eval_flags.h"
#include "cli/eval_modes.h"
#include "cli/eval_output.h"
#include "cli/flags.h"
#include "cli/model_argument.h"
#include "cli/terminal_observer.h"
#include "eval/builtin_tasks.h"
#include "eval/eval_report.h"
#include "eval/task_scores.h"

namespace blockformer {
namespace {

struct EvalTasksFlags {
  std::string model;
  std::vector<std::string> tasks;  // names of built-in ones, or YAML files
  std::string data;                // the folder of their data; empty: as ReadTask() says
  std::optional<int64_t> limit;
  EvalFlags eval;
  EvalOutput output;
};

std::vector<std::string> BuiltinTaskNames() {
  std::vector<std::string> names;
  for (const BuiltinTask& task : BuiltinTasks()) names.emplace_back(task.name);
  return names;
}

void CheckFlags(const EvalTasksFlags& flags) {
  CheckLimit(flags.limit);
  Require(flags.data.empty() || IsDirectory(flags.data), ErrorCode::kInvalidArgument,
          "--data: {} is no folder; that of the tasks' data is wanted", flags.data);
  // Built-in tasks' names are no paths, or hurt nobody where they are.
  std::vector<std::string> inputs = EvalInputs({flags.model}, {});
  inputs.insert(inputs.end(), flags.tasks.begin(), flags.tasks.end());
  flags.output.Check(inputs);
}

std::vector<TaskData> ReadTasks(const EvalTasksFlags& flags) {
  std::vector<TaskData> tasks;
  std::set<std::string> names;
  for (const std::string& name : flags.tasks.empty() ? BuiltinTaskNames() : flags.tasks) {
    Task task = ReadTask(name, flags.data);
    Require(names.insert(task.name).second, ErrorCode::kInvalidArgument,
            "--tasks: {} stands twice; each task once is wanted", task.name);
    std::vector<TaskItem> items = ReadItems(task, flags.limit, flags.eval.corpus.invalid_utf8);
    tasks.push_back({std::move(task), std::move(items)});
  }
  return tasks;
}

// The scores of a run and the time that they took, without the time between its interruptions.
struct ScoresSoFar {
  std::vector<RequestScore> scores;
  double seconds = 0;
};

// A line of the scores of an interrupted run; `seconds` is what all up to this one took.
std::string ToLine(const RequestScore& score, double seconds) {
  return ToText(OrderedJson{score.log_likelihood, score.is_greedy, score.tokens, seconds});
}

ScoresSoFar ReadScores(const std::string& path) {
  ScoresSoFar done;
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) {
    const std::string place = fmt::format("{}:{}", path, done.scores.size() + 1);
    const Json json = ParseJson(line, place);
    const bool is_score = json.is_array() && json.size() == 4 && json[0].is_number() &&
                          json[1].is_boolean() && json[2].is_number_integer() &&
                          json[3].is_number();
    Require(is_score, ErrorCode::kCorrupt, "{}: {} is no score; remove the file to begin anew",
            place, line);
    done.scores.push_back({json[0].get<double>(), json[1].get<bool>(), json[2].get<int64_t>()});
    done.seconds = json[3].get<double>();
  }
  return done;
}

// What is known of the run before any score is.
OrderedJson RunConfig(const std::string& model, std::optional<int64_t> limit, const EvalFlags& eval,
                      const Scorer& scorer) {
  OrderedJson config = {{"model", "blockformer"},
                        {"model_args", fmt::format("pretrained={},dtype={}", model, eval.dtype)},
                        {"model_kind", KindName(scorer.model().config())},
                        {"weights", NumberTypeName(scorer.model().weight_type())},
                        {"max_length", scorer.options().max_length},
                        {"batch_tokens", scorer.options().batch_tokens},
                        {"limit", nullptr},
                        {"commit", kBuildCommit},
                        {"harness", "0.4.7"}};
  if (scorer.model().is_block()) config["padding"] = PaddingName(*scorer.options().padding);
  if (limit) config["limit"] = *limit;
  return config;
}

// What must be equal for scores to be continued.
RunSettings SettingsOf(const std::string& model, const std::vector<TaskData>& tasks,
                       std::optional<int64_t> limit, const EvalFlags& eval, const Scorer& scorer) {
  RunSettings settings = ModelSettings(model);
  AddSettings(ScoringSettings(scorer), &settings);
  AddSettings(eval.ReadingSettings(), &settings);
  OrderedJson hashes = OrderedJson::array();
  for (const TaskData& data : tasks) hashes.push_back({data.task.name, HashOf(data)});
  OrderedJson flags = {{"--tasks", hashes}};
  if (limit) flags["--limit"] = *limit;
  AddSettings(flags, &settings);
  return settings;
}

void RefuseToOverwriteData(const EvalOutput& output, const std::vector<TaskData>& tasks) {
  std::vector<std::string> inputs;
  for (const TaskData& data : tasks) {
    inputs.insert(inputs.end(), data.task.data_files.begin(), data.task.data_files.end());
  }
  CheckOutputs({{"--json", output.json}}, inputs, output.force);
}

// Appends the scores that are still wanted, to `lines` too unless it is null.
void ScoreRest(const TaskRequests& requests, Scorer* scorer, ScoresSoFar* done,
               ResumableLines* lines) {
  TerminalObserver observer;
  const int64_t begin = requests.CountTokens(std::ssize(done->scores));
  const double seconds_before = done->seconds;
  const Stopwatch watch;
  const auto keep = [&](const RequestScore& score) {
    done->scores.push_back(score);
    done->seconds = seconds_before + watch.Seconds();
    if (lines != nullptr) lines->Append(ToLine(score, done->seconds));
  };
  requests.Run(scorer, std::ssize(done->scores), keep, &observer);
  observer.Finish();
  const int64_t tokens = requests.CountTokens(std::ssize(done->scores)) - begin;
  PrintMessage("{} tokens, {:.1f} tokens/s\n", tokens,
               static_cast<double>(tokens) / watch.Seconds());
}

// Tokens that lie in the first block of a text, where a model without padding predicts nothing.
int64_t CountUnscored(const TaskRequests& requests, const std::vector<RequestScore>& scores) {
  int64_t tokens = requests.CountScored();
  for (const RequestScore& score : scores) tokens -= score.tokens;
  if (tokens > 0) {
    LogWarning(
        "{} of {} tokens lie in the first block of a text and were not scored, so that results are "
        "not comparable with those of other models; --padding pad scores all",
        tokens, requests.CountScored());
  }
  return tokens;
}

void EvaluateTasks(EvalTasksFlags flags) {
  CheckFlags(flags);
  flags.eval.Apply();
  const EvalFlags& eval = flags.eval;
  const EvalOutput& output = flags.output;
  const std::vector<TaskData> tasks = ReadTasks(flags);
  RefuseToOverwriteData(output, tasks);
  const EvalModel model = EvalModel::Load(flags.model, eval.Device(), eval.Special());
  Scorer scorer(model.model, eval.scorer);
  const TaskRequests requests(tasks, model, scorer.options().max_length);
  const int64_t cut = requests.CountCut();
  WarnOfCutContexts(cut, requests.size(), scorer.options().max_length);
  CatchStopSignals();
  std::optional<ResumableLines> lines;
  ScoresSoFar done;
  const std::vector<RequestScore>& scores = done.scores;
  if (output.IsResumable()) {
    lines.emplace(output.json, SettingsOf(flags.model, tasks, flags.limit, eval, scorer),
                  requests.size());
    done = ReadScores(lines->partial_path());
    if (!scores.empty()) {
      LogInfo("{}: {} of {} requests are done, going on", output.json, scores.size(),
              requests.size());
    }
  }
  ScoreRest(requests, &scorer, &done, lines ? &*lines : nullptr);
  if (static_cast<int64_t>(scores.size()) < requests.size()) {
    Fail(ErrorCode::kInterrupted, "eval: stopped after {} of {} requests{}", scores.size(),
         requests.size(),
         lines ? "; the same command goes on" : "; with --json FILE it could go on");
  }
  OrderedJson config = RunConfig(flags.model, flags.limit, eval, scorer);
  config["tokens"] = requests.CountTokens(requests.size());
  config["seconds"] = done.seconds;
  config["cut_contexts"] = cut;
  config["unscored_tokens"] = CountUnscored(requests, scores);
  const std::vector<TaskResult> results = TaskResults(tasks, scores);
  output.Write(TaskResultsJson(results, config), TaskResultsTable(results));
  if (lines) lines->Discard();
}

void ShowTask(const std::string& name) {
  const std::optional<BuiltinTask> task = FindBuiltinTask(name);
  Require(task.has_value(), ErrorCode::kInvalidArgument,
          "show-task: \"{}\" is not built in; {} are", name, fmt::join(BuiltinTaskNames(), ", "));
  fmt::print("{}", task->yaml);
}

}  // namespace

void AddEvalTasks(CLI::App* eval) {
  const auto flags = std::make_shared<EvalTasksFlags>();
  CLI::App* command = eval->add_subcommand(
      "tasks",
      "Zero-shot tasks as lm-evaluation-harness does them. An interrupted run with --json goes on "
      "with the same command.");
  command->add_option(kModelArgument, flags->model, "Model directory")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--tasks", flags->tasks,
                   fmt::format("Built-in tasks or YAML files, with commas between them; without "
                               "it all built-in ones: {}",
                               fmt::join(BuiltinTaskNames(), ", ")))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("NAME,...");
  command
      ->add_option("--data", flags->data,
                   "The folder of the tasks' data; without it eval-data, where `blockformer "
                   "eval-data` puts it, or a YAML file's own")
      ->type_name("DIR");
  AddLimit(command, "records of each task", &flags->limit);
  flags->output.AddTo(command, /*has_plot=*/false);
  AddReplaceInvalidFlag(command, &flags->eval.corpus.invalid_utf8);
  flags->eval.AddModelTo(command);
  flags->eval.AddScoringTo(command);
  flags->eval.AddTextTo(command);
  command->callback([flags] { EvaluateTasks(*flags); });
}

void AddEvalShowTask(CLI::App* eval) {
  const auto name = std::make_shared<std::string>();
  CLI::App* command = eval->add_subcommand("show-task", "Prints a built-in task, to be adapted.");
  command->add_option("name", *name, fmt::format("{}", fmt::join(BuiltinTaskNames(), ", ")))
      ->required()
      ->type_name("NAME");
  command->callback([name] { ShowTask(*name); });
}

}  // namespace blockformer
