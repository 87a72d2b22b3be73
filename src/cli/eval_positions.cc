// `blockformer eval positions`: the loss against the position in the text and in the block.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/program.h"
#include "checkpoint/model_directory.h"
#include "cli/corpus_flags.h"
#include "cli/eval_flags.h"
#include "cli/eval_modes.h"
#include "cli/eval_output.h"
#include "cli/model_argument.h"
#include "eval/eval_model.h"
#include "eval/position_loss.h"
#include "eval/position_report.h"

namespace blockformer {
namespace {

struct EvalPositionsFlags {
  std::vector<std::string> models;
  std::vector<std::string> data;
  PositionLossOptions options = {0, 32, std::nullopt};  // a context of 0: the models' smallest
  EvalFlags eval;
  EvalOutput output;
};

PositionLossOptions CheckedOptions(const EvalPositionsFlags& flags) {
  std::vector<ModelConfig> configs;
  for (const std::string& model : flags.models) configs.push_back(ReadModelConfig(model));
  PositionLossOptions options = flags.options;
  if (options.context == 0) options.context = SmallestContext(flags.models);
  for (const ModelConfig& config : configs) CheckPositionLossOptions(options, config);
  return options;
}

void WarnOfOtherWindows(const std::vector<PositionLoss>& losses) {
  for (const PositionLoss& loss : losses) {
    if (loss.tokens_hash == losses[0].tokens_hash) continue;
    LogWarning("{} reads other tokens than {}: positions and losses are those of each one's own",
               loss.model, losses[0].model);
  }
}

void EvaluatePositions(EvalPositionsFlags flags) {
  CheckLimit(flags.options.max_windows);
  flags.eval.Apply();
  flags.output.Check(EvalInputs(flags.models, flags.data));
  const PositionLossOptions options = CheckedOptions(flags);
  EvalFlags& scoring = flags.eval;
  scoring.scorer.max_length = options.context;
  CatchStopSignals();
  const std::vector<std::string> names = ModelNames(flags.models);
  std::vector<OpenedEvalModel> models = OpenModels(flags.models, scoring);
  const auto measure = [&](size_t i, WorkObserver* observer) {
    const EvalModel model = std::move(models[i]).Load();
    Scorer scorer(model.model, scoring.scorer);
    return MeasurePositionLoss(names[i], model, &scorer, flags.data, options, scoring.corpus,
                               observer);
  };
  const auto table = [](const std::vector<PositionLoss>& losses) {
    return PositionLossTable(PositionLossResults(losses));
  };
  const std::vector<PositionLoss> losses = flags.output.MeasureEach(models.size(), measure, table);
  WarnOfOtherWindows(losses);
  const std::vector<PositionLossResult> results = PositionLossResults(losses);
  flags.output.Write({{"task", "loss_by_position"},
                      {"context", options.context},
                      {"data", flags.data},
                      {"scoring", scoring.Settings()},
                      {"results", PositionLossJson(results)}},
                     PositionLossTable(results), [&](const std::string& name) {
                       return PositionLossPlotScript(results, name);
                     });
}

}  // namespace

void AddEvalPositions(CLI::App* eval) {
  const auto flags = std::make_shared<EvalPositionsFlags>();
  CLI::App* command = eval->add_subcommand(
      "positions", "The loss of models against the position in long texts, and in the block.");
  AddModels(command, &flags->models);
  AddTextData(command, &flags->data);
  command
      ->add_option("--context", flags->options.context,
                   "Tokens of each text that are read; 0: the models' smallest context")
      ->capture_default_str();
  command
      ->add_option("--bins", flags->options.bins,
                   "Parts of the context whose positions are averaged")
      ->capture_default_str();
  AddLimit(command, "windows, in the order of the texts", &flags->options.max_windows);
  flags->output.AddTo(command, /*has_plot=*/true);
  AddCorpusFlags(command, &flags->eval.corpus);
  flags->eval.AddModelTo(command);
  flags->eval.AddScoringTo(command, /*has_max_length=*/false);
  flags->eval.AddTextTo(command);
  command->callback([flags] { EvaluatePositions(*flags); });
}

}  // namespace blockformer
