#include "cli/eval_positions.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/program.h"
#include "checkpoint/model_directory.h"
#include "cli/model_argument.h"
#include "cli/terminal_observer.h"
#include "eval/eval_model.h"
#include "eval/position_loss.h"
#include "eval/position_report.h"

namespace blockformer {
namespace {

PositionLossOptions CheckedOptions(const std::vector<std::string>& models,
                                   const PositionFlags& flags, std::optional<int64_t> limit) {
  std::vector<ModelConfig> configs;
  for (const std::string& model : models) configs.push_back(ReadModelConfig(model));
  PositionLossOptions options = {flags.context, flags.bins, limit};
  if (options.context == 0) {
    options.context = SmallestContext(models);
  }
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

}  // namespace

void PositionFlags::AddTo(CLI::App* command) {
  command->add_flag("--loss-by-position", is_wanted,
                    "The loss against the position in the texts of --data, and in the block");
  command
      ->add_option("--context", context,
                   "Tokens of each text that are read; 0: the models' smallest context")
      ->capture_default_str();
  command->add_option("--bins", bins, "Parts of the context whose positions are averaged")
      ->capture_default_str();
}

void EvaluateLossByPosition(const std::vector<std::string>& models,
                            const std::vector<std::string>& data, const PositionFlags& flags,
                            const EvalFlags& eval, std::optional<int64_t> limit,
                            const EvalOutput& output) {
  Require(eval.scorer.max_length == 0, ErrorCode::kInvalidArgument,
          "--max-length: {} has no meaning with --loss-by-position; --context is wanted",
          eval.scorer.max_length);
  const PositionLossOptions options = CheckedOptions(models, flags, limit);
  EvalFlags scoring = eval;
  scoring.scorer.max_length = options.context;
  CatchStopSignals();
  TerminalObserver observer;
  const std::vector<std::string> names = ModelNames(models);
  std::vector<PositionLoss> losses;
  for (size_t i = 0; i < models.size(); ++i) {
    const EvalModel model = EvalModel::Load(models[i], eval.Device(), eval.Special());
    Scorer scorer(model.model, scoring.scorer);
    losses.push_back(
        MeasurePositionLoss(names[i], model, &scorer, data, options, eval.corpus, &observer));
  }
  WarnOfOtherWindows(losses);
  const OrderedJson report = {{"task", "loss_by_position"},
                              {"context", options.context},
                              {"data", data},
                              {"scoring", scoring.Settings()},
                              {"results", PositionLossResults(losses)}};
  output.Write(report, PositionLossTable(report), PositionLossPlotScript);
}

}  // namespace blockformer
