#include "cli/eval_positions.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/gnuplot.h"
#include "base/log.h"
#include "base/program.h"
#include "checkpoint/model_directory.h"
#include "cli/bench_flags.h"
#include "cli/model_argument.h"
#include "eval/eval_model.h"
#include "eval/position_loss.h"
#include "eval/position_report.h"

namespace blockformer {
namespace {

// Short names, or the whole paths if two would be the same.
std::vector<std::string> NamesOf(const std::vector<std::string>& models) {
  std::vector<std::string> names;
  for (const std::string& model : models) {
    const std::string name = ModelName(model);
    if (std::ranges::find(names, name) != names.end()) return models;
    names.push_back(name);
  }
  return names;
}

void CheckOutputs(const std::string& json_path, const std::string& plot_path) {
  RequireWritable("--json", json_path);
  if (plot_path.empty()) return;
  RequireWritable("--plot", plot_path);
  PlotTerminal("--plot", plot_path, 1, 1);  // knows which pictures can be drawn
  RequireGnuplot("--plot");
}

PositionLossOptions CheckedOptions(const std::vector<std::string>& models,
                                   const PositionFlags& flags, std::optional<int64_t> limit) {
  std::vector<ModelConfig> configs;
  for (const std::string& model : models) configs.push_back(ReadModelConfig(model));
  PositionLossOptions options = {flags.context, flags.bins, limit};
  if (options.context == 0) {
    options.context = std::ranges::min_element(configs, {}, &ModelConfig::max_length)->max_length;
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

void WriteReport(const OrderedJson& report, const std::string& json_path,
                 const std::string& plot_path) {
  const bool is_json = json_path == "-";
  const std::string json = ToText(report, 2) + "\n";
  fmt::print(is_json ? stderr : stdout, "{}", PositionLossTable(report));
  if (is_json) fmt::print("{}", json);
  if (!is_json && !json_path.empty()) WriteFileAtomically(json_path, json);
  if (plot_path.empty()) return;
  DrawPlot(plot_path,
           PositionLossPlotScript(report, std::filesystem::path(plot_path).filename().string()));
}

}  // namespace

void EvaluateLossByPosition(const std::vector<std::string>& models,
                            const std::vector<std::string>& data, const PositionFlags& flags,
                            const EvalFlags& eval, std::optional<int64_t> limit,
                            const std::string& json_path, const std::string& plot_path) {
  CheckOutputs(json_path, plot_path);
  Require(eval.scorer.max_length == 0, ErrorCode::kInvalidArgument,
          "--max-length: {} has no meaning with --loss-by-position; --context is wanted",
          eval.scorer.max_length);
  const PositionLossOptions options = CheckedOptions(models, flags, limit);
  EvalFlags scoring = eval;
  scoring.scorer.max_length = options.context;
  CatchStopSignals();
  const std::vector<std::string> names = NamesOf(models);
  std::vector<PositionLoss> losses;
  for (size_t i = 0; i < models.size(); ++i) {
    const EvalModel model = EvalModel::Load(models[i], eval.Type());
    Scorer scorer(model.model, scoring.scorer);
    losses.push_back(MeasurePositionLoss(names[i], model, &scorer, data, options));
  }
  WarnOfOtherWindows(losses);
  WriteReport({{"task", "loss_by_position"},
               {"context", options.context},
               {"data", data},
               {"scoring", scoring.Settings()},
               {"results", PositionLossResults(losses)}},
              json_path, plot_path);
}

}  // namespace blockformer
