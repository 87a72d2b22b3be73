// `blockformer score`: log-likelihoods of the texts of a file.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/program.h"
#include "base/resumable_lines.h"
#include "base/stopwatch.h"
#include "cli/commands.h"
#include "cli/corpus_flags.h"
#include "cli/eval_flags.h"
#include "cli/flags.h"
#include "cli/model_argument.h"
#include "cli/terminal_observer.h"
#include "config/json.h"
#include "eval/eval_model.h"
#include "eval/score_file.h"

namespace blockformer {
namespace {

struct ScoreFlags {
  std::string model;
  std::string input;
  std::string output;
  std::string result_prefix;
  bool force = false;
  EvalFlags eval;
};

// What must be equal for a partial output to be continued.
RunSettings SettingsOf(const ScoreFlags& flags, const ScoreFile& file, const Scorer& scorer) {
  RunSettings settings = ModelSettings(flags.model);
  settings["input"] = fmt::format("{} lines with hash {:016x}", file.lines, file.hash);
  AddSettings(ScoringSettings(scorer), &settings);
  AddSettings(flags.eval.ReadingSettings(), &settings);
  AddSettings({{"--result-prefix", flags.result_prefix}}, &settings);
  return settings;
}

void Score(ScoreFlags flags) {
  CheckOutputs({{"--output", flags.output}}, {flags.input, flags.model}, flags.force);
  flags.eval.Apply();
  const EvalModel model = EvalModel::Load(flags.model, flags.eval.Device(), flags.eval.Special());
  Scorer scorer(model.model, flags.eval.scorer);
  const ResultFields results = ScoreFields(flags.result_prefix);
  const ScoreFile file = CheckScoreFile(flags.input, flags.eval.corpus.invalid_utf8, model,
                                        scorer.options().max_length, results);
  WarnOfCutContexts(file.cut_contexts, file.lines, scorer.options().max_length);
  CatchStopSignals();
  ResumableLines output(flags.output, SettingsOf(flags, file, scorer), file.lines);
  const int64_t begin = output.lines_done();
  if (begin > 0) LogInfo("{}: {} of {} are done, going on", flags.output, begin, file.lines);
  ResultErrors errors(results);
  errors.AddFile(output.partial_path());
  const Stopwatch watch;
  TerminalObserver observer;
  const int64_t tokens = ScoreLines(file, model, results, &scorer, &output, &errors, &observer);
  observer.Finish();
  if (output.lines_done() < file.lines) {
    Fail(ErrorCode::kInterrupted, "{}: stopped after {} of {}{}", flags.output, output.lines_done(),
         file.lines, output.partial_path().empty() ? "" : "; the same command goes on");
  }
  output.Finish();
  const double seconds = watch.Seconds();
  PrintMessage("{} texts, {} tokens, {:.1f} tokens/s\n", file.lines - begin, tokens,
               static_cast<double>(tokens) / seconds);
  errors.RequireNone(flags.output);
}

}  // namespace

void AddScoreCommand(CLI::App& app) {
  const auto flags = std::make_shared<ScoreFlags>();
  CLI::App* command =
      app.add_subcommand("score", "Writes the log-likelihoods that a model gives texts.");
  command->add_option(kModelArgument, flags->model, "Model directory")
      ->required()
      ->type_name("DIR");
  command
      ->add_option(
          "--input", flags->input,
          "JSON lines, also .zst or .gz: each with \"context\" and \"continuation\", or with "
          "\"text\", all of which is scored; what a line holds is kept as it is")
      ->required()
      ->type_name("FILE");
  command
      ->add_option(
          "--output", flags->output,
          "The same lines with \"log_likelihood\" (in nats), \"tokens\", and \"is_greedy\" "
          "or \"bytes\", and \"cut_tokens\" where the context is too long; an interrupted run "
          "continues where it was; - is standard output")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--result-prefix", flags->result_prefix,
                   "Before the names of these fields, for lines that have fields of the same names")
      ->type_name("P");
  command->add_flag("--force", flags->force, "Replace an output file that is there");
  AddReplaceInvalidFlag(command, &flags->eval.corpus.invalid_utf8);
  flags->eval.AddModelTo(command);
  flags->eval.AddScoringTo(command);
  flags->eval.AddTextTo(command);
  command->callback([flags] { Score(*flags); });
}

}  // namespace blockformer
