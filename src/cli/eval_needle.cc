// `blockformer eval needle`: a needle in a haystack.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/program.h"
#include "cli/corpus_flags.h"
#include "cli/eval_flags.h"
#include "cli/eval_modes.h"
#include "cli/eval_output.h"
#include "cli/flags.h"
#include "cli/model_argument.h"
#include "eval/needle.h"

namespace blockformer {
namespace {

struct EvalNeedleFlags {
  std::vector<std::string> models;
  std::vector<std::string> data;
  std::string form = "question";
  NeedleOptions options;  // of which `form` is set by EvaluateNeedle()
  EvalFlags eval;
  EvalOutput output;
};

std::vector<int64_t> DefaultLengths(const std::vector<std::string>& models) {
  constexpr int64_t kShortest = 256;
  const int64_t context = SmallestContext(models);
  std::vector<int64_t> lengths;
  for (int64_t length = kShortest; length <= context; length *= 2) lengths.push_back(length);
  if (lengths.empty()) lengths.push_back(context);
  return lengths;
}

std::vector<std::vector<NeedlePrompt>> MakePrompts(const std::vector<OpenedEvalModel>& models,
                                                   const std::string& haystack,
                                                   const NeedleOptions& options) {
  std::vector<std::vector<NeedlePrompt>> prompts;
  for (const OpenedEvalModel& model : models) {
    const Tokenizer& tokenizer = model.tokenizer;
    prompts.push_back(MakeNeedlePrompts(tokenizer, EncodeHaystack(tokenizer, haystack), options));
  }
  return prompts;
}

void EvaluateNeedle(EvalNeedleFlags flags) {
  flags.eval.Apply();
  flags.output.Check(EvalInputs(flags.models, flags.data));
  const EvalFlags& eval = flags.eval;
  NeedleOptions options = flags.options;
  options.form = ParseNeedleForm("--form", flags.form);
  if (options.lengths.empty()) options.lengths = DefaultLengths(flags.models);
  std::vector<OpenedEvalModel> models = OpenModels(flags.models, eval);
  const std::vector<std::vector<NeedlePrompt>> prompts =
      MakePrompts(models, ReadHaystack(flags.data, eval.corpus), options);
  CatchStopSignals();
  const std::vector<std::string> names = ModelNames(flags.models);
  const auto measure = [&](size_t i, WorkObserver* observer) {
    return RunNeedle(std::move(models[i]).Load(), names[i], options, prompts[i], observer);
  };
  const std::vector<NeedleResult> results =
      flags.output.MeasureEach(models.size(), measure, NeedleTable);
  flags.output.Write({{"task", "needle"},
                      {"form", NeedleFormName(options.form)},
                      {"data", flags.data},
                      {"seed", options.seed},
                      {"new_tokens", kNeedleNewTokens},
                      {"dtype", eval.dtype},
                      {"results", NeedleJson(results)}},
                     NeedleTable(results),
                     [&](const std::string& name) { return NeedlePlotScript(results, name); });
}

}  // namespace

void AddEvalNeedle(CLI::App* eval) {
  const auto flags = std::make_shared<EvalNeedleFlags>();
  CLI::App* command = eval->add_subcommand(
      "needle",
      "Needle in a haystack: whether models find a fact again, by its depth in a text and by the "
      "text's length.");
  AddModels(command, &flags->models);
  AddTextData(command, &flags->data);
  command
      ->add_option("--form", flags->form,
                   "Ending of a prompt: question, or continuation (the beginning of the needle)")
      ->capture_default_str();
  NeedleOptions& options = flags->options;
  command
      ->add_option("--lengths", options.lengths,
                   "Tokens of prompt and answer, separated by commas; default: powers of two from "
                   "256 to the models' smallest context")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("N,...");
  command
      ->add_option("--depths", options.depths,
                   "Shares of the haystack before the needle, separated by commas")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str()
      ->type_name("X,...");
  command->add_option("--samples", options.samples, "Prompts for each length and depth")
      ->capture_default_str();
  AddSeedFlag(command, "Of cities, numbers and places; the same for all models", &options.seed);
  flags->output.AddTo(command, /*has_plot=*/true);
  AddCorpusFlags(command, &flags->eval.corpus);
  flags->eval.AddModelTo(command);
  flags->eval.AddTextTo(command);
  command->callback([flags] { EvaluateNeedle(*flags); });
}

}  // namespace blockformer
