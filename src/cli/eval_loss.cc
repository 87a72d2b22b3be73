// `blockformer eval loss`: the loss that the trainer's validation measures.
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/program.h"
#include "base/table.h"
#include "cli/eval_flags.h"
#include "cli/eval_modes.h"
#include "cli/eval_output.h"
#include "cli/model_argument.h"
#include "config/json.h"
#include "devices/devices.h"
#include "eval/validation_loss.h"

namespace blockformer {
namespace {

struct EvalLossFlags {
  std::vector<std::string> models;
  std::string data;
  std::optional<int64_t> limit;
  EvalFlags eval;
  EvalOutput output;
};

struct LossResult {
  std::string model;
  LossSums sums;
  int64_t samples = 0;
  int64_t sample_length = 0;
};

// A model and what it is measured on.
struct MeasuredModel {
  std::string name;
  OpenedModel model;
  ValidationSamples samples;
};

// Of all models before any is measured.
std::vector<MeasuredModel> OpenMeasuredModels(const EvalLossFlags& flags, const TokenFile& tokens) {
  const int64_t limit = flags.limit.value_or(std::numeric_limits<int64_t>::max());
  const std::vector<std::string> names = ModelNames(flags.models);
  std::vector<MeasuredModel> models;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string& directory = flags.models[i];
    OpenedModel model = OpenedModel::Open(directory, flags.eval.Device());
    ValidationSamples samples(tokens, model.config, directory, limit);
    models.push_back({names[i], std::move(model), std::move(samples)});
  }
  return models;
}

LossResult MeasureLoss(const MeasuredModel& measured, WorkObserver* observer) {
  const std::shared_ptr<const Model> model = measured.model.Load();
  return {measured.name, measured.samples.SumLoss(*model, measured.name, observer),
          measured.samples.count(), measured.model.config.max_length};
}

OrderedJson LossJson(const LossResult& result) {
  const LossSums& sums = result.sums;
  OrderedJson by_position = OrderedJson::array();
  for (size_t i = 0; i < sums.sum_by_position.size(); ++i) {
    by_position.push_back(sums.sum_by_position[i] / static_cast<double>(sums.count_by_position[i]));
  }
  return {{"model", result.model},
          {"loss", sums.Mean()},
          {"perplexity", std::exp(sums.Mean())},
          {"loss_by_position", by_position},
          {"samples", result.samples},
          {"sample_length", result.sample_length},
          {"predicted_tokens", sums.count}};
}

std::string LossTable(const std::vector<LossResult>& results) {
  std::vector<std::vector<std::string>> rows;
  for (const LossResult& result : results) {
    const double loss = result.sums.Mean();
    rows.push_back({result.model, fmt::format("{:.4f}", loss),
                    fmt::format("{:.3f}", std::exp(loss)), fmt::format("{}", result.sums.count)});
  }
  return MarkdownTable({{"Model"}, {"Loss", true}, {"Perplexity", true}, {"Tokens", true}}, rows);
}

void EvaluateLoss(EvalLossFlags flags) {
  CheckLimit(flags.limit);
  flags.eval.Apply();
  flags.output.Check(EvalInputs(flags.models, {flags.data}));
  CatchStopSignals();
  const TokenFile tokens(flags.data);
  const std::vector<MeasuredModel> models = OpenMeasuredModels(flags, tokens);
  const auto measure = [&](size_t i, WorkObserver* observer) {
    return MeasureLoss(models[i], observer);
  };
  const std::vector<LossResult> results =
      flags.output.MeasureEach(models.size(), measure, LossTable);
  OrderedJson json = OrderedJson::array();
  for (const LossResult& result : results) json.push_back(LossJson(result));
  flags.output.Write({{"task", "loss"}, {"data", tokens.prefix()}, {"results", json}},
                     LossTable(results));
}

}  // namespace

void AddEvalLoss(CLI::App* eval) {
  const auto flags = std::make_shared<EvalLossFlags>();
  CLI::App* command = eval->add_subcommand(
      "loss", "The loss of models on a token file, as the trainer's validation measures it.");
  AddModels(command, &flags->models);
  command->add_option("--data", flags->data, "Token file of `blockformer prepare`")
      ->required()
      ->type_name("PREFIX");
  AddLimit(command, "samples of the model's context, spread over the file", &flags->limit);
  flags->output.AddTo(command, /*has_plot=*/false);
  flags->eval.AddModelTo(command);
  command->callback([flags] { EvaluateLoss(*flags); });
}

}  // namespace blockformer
