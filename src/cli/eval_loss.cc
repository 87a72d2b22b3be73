// `blockformer eval loss`: the loss that the trainer's validation measures.
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/program.h"
#include "base/table.h"
#include "checkpoint/model_directory.h"
#include "cli/eval_flags.h"
#include "cli/eval_modes.h"
#include "cli/eval_output.h"
#include "cli/model_argument.h"
#include "cli/terminal_observer.h"
#include "config/json.h"
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

LossResult Measure(const std::string& directory, const std::string& name,
                   const ValidationSamples& samples, const EvalFlags& eval,
                   WorkObserver* observer) {
  const std::shared_ptr<const Model> model = LoadModel(directory, eval.Device());
  return {name, samples.SumLoss(*model, name, observer), samples.count(),
          model->config().max_length};
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
  const std::vector<std::string>& models = flags.models;
  const TokenFile tokens(flags.data);
  std::vector<ValidationSamples> samples;  // of all models before any is computed
  for (const std::string& directory : models) {
    samples.emplace_back(tokens, ReadModelConfig(directory), directory,
                         flags.limit.value_or(std::numeric_limits<int64_t>::max()));
  }
  TerminalObserver observer;
  const std::vector<std::string> names = ModelNames(models);
  std::vector<LossResult> results;
  OrderedJson json = OrderedJson::array();
  for (size_t i = 0; i < models.size(); ++i) {
    results.push_back(Measure(models[i], names[i], samples[i], flags.eval, &observer));
    json.push_back(LossJson(results.back()));
  }
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
