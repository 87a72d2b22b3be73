// `blockformer score`: log-likelihoods of the texts of a file.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/program.h"
#include "base/resumable_lines.h"
#include "cli/commands.h"
#include "cli/eval_flags.h"
#include "cli/line_errors.h"
#include "cli/model_argument.h"
#include "config/json.h"
#include "eval/eval_model.h"
#include "eval/score_file.h"

namespace blockformer {
namespace {

struct Flags {
  std::string model;
  std::string input;
  std::string output;
  bool force = false;
  EvalFlags eval;
};

void Score(Flags flags) {
  Require(flags.force || !FileExists(flags.output), ErrorCode::kInvalidArgument,
          "{}: is there already; --force replaces it", flags.output);
  flags.eval.Apply();
  const EvalModel model = EvalModel::Load(flags.model, flags.eval.Type());
  Scorer scorer(model.model, flags.eval.scorer);
  const ScoreFile file = CheckScoreFile(flags.input, model, scorer.options().max_length);
  const OrderedJson settings = {{"lines", file.lines},
                                {"input_hash", file.hash},
                                {"model", ModelIdentity(flags.model)},
                                {"scoring", flags.eval.Settings()}};
  CatchStopSignals();
  ResumableLines output(flags.output, ToText(settings) + "\n", file.lines);
  const int64_t begin = output.lines_done();
  if (begin > 0) LogInfo("{}: {} of {} are done, going on", flags.output, begin, file.lines);
  const auto start = std::chrono::steady_clock::now();
  const int64_t tokens = ScoreLines(file, model, &scorer, &output);
  if (output.lines_done() < file.lines) {
    Fail(ErrorCode::kInterrupted, "{}: stopped after {} of {}; the same command goes on",
         flags.output, output.lines_done(), file.lines);
  }
  output.Finish();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print(stderr, "{} texts, {} tokens, {:.1f} tokens/s\n", file.lines - begin, tokens,
             static_cast<double>(tokens) / seconds);
  RequireNoErrors(flags.output,
                  [](const OrderedJson& line) { return line["log_likelihood"].is_null(); });
}

}  // namespace

void AddScoreCommand(CLI::App& app) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app.add_subcommand("score", "Writes the log-likelihoods that a model gives texts.");
  command->add_option("model", flags->model, "Model directory")->required()->type_name("DIR");
  command
      ->add_option("--input", flags->input,
                   "JSON lines, also .zst: each with \"context\" and \"continuation\", or with "
                   "\"text\", all of which is scored; other fields are kept")
      ->required()
      ->type_name("FILE");
  command
      ->add_option(
          "--output", flags->output,
          "The same lines with \"log_likelihood\" (in nats), \"tokens\", and \"is_greedy\" "
          "or \"bytes\"; an interrupted run continues where it was")
      ->required()
      ->type_name("FILE");
  command->add_flag("--force", flags->force, "Replace an output file that is there");
  flags->eval.AddTo(command);
  command->callback([flags] { Score(*flags); });
}

}  // namespace blockformer
