// `blockformer eval needle`: a needle in a haystack.
#include <memory>
#include <string>
#include <vector>

#include "base/program.h"
#include "checkpoint/model_path.h"
#include "cli/corpus_flags.h"
#include "cli/eval_flags.h"
#include "cli/eval_modes.h"
#include "cli/eval_output.h"
#include "cli/flags.h"
#include "cli/model_argument.h"
#include "cli/terminal_observer.h"
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

std::vector<std::vector<NeedlePrompt>> MakePrompts(const std::vector<std::string>& models,
                                                   const std::vector<std::string>& data,
                                                   const NeedleOptions& options,
                                                   const EvalFlags& eval) {
  const std::string text = ReadHaystack(data, eval.corpus);
  std::vector<std::vector<NeedlePrompt>> prompts;
  for (const std::string& model : models) {
    RequireModelDirectory(model);  // a tokenizer may be a file
    const Tokenizer tokenizer = Tokenizer::Load(model, eval.Special());
    prompts.push_back(MakeNeedlePrompts(tokenizer, EncodeHaystack(tokenizer, text), options));
  }
  return prompts;
}

void EvaluateNeedle(EvalNeedleFlags flags) {
  flags.eval.Apply();
  flags.output.Check(EvalInputs(flags.models, flags.data));
  const std::vector<std::string>& models = flags.models;
  const EvalFlags& eval = flags.eval;
  NeedleOptions options = flags.options;
  options.form = ParseNeedleForm("--form", flags.form);
  if (options.lengths.empty()) options.lengths = DefaultLengths(models);
  const std::vector<std::vector<NeedlePrompt>> prompts =
      MakePrompts(models, flags.data, options, eval);
  CatchStopSignals();
  TerminalObserver observer;
  const std::vector<std::string> names = ModelNames(models);
  std::vector<NeedleResult> results;
  for (size_t i = 0; i < models.size(); ++i) {
    const EvalModel model = EvalModel::Load(models[i], eval.Device(), eval.Special());
    results.push_back(RunNeedle(model, names[i], options, prompts[i], &observer));
  }
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
