#include "bench/precision.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "bench/build_info.h"
#include "bench/cost.h"
#include "bench/outliers.h"
#include "checkpoint/model_directory.h"
#include "data/token_file.h"
#include "devices/devices.h"
#include "eval/validation_loss.h"

namespace blockformer {
namespace {

ReadWeights WeightsOf(const std::string& directory, const ModelConfig& config, NumberType type,
                      int64_t outliers) {
  if (outliers == 0) return WeightsFromDirectory(directory, config, type);
  const auto floats = WithOutliers(
      config, WeightsFromDirectory(directory, config, NumberType::kF32).floats, outliers);
  return {floats, type, ModelQuantizer(config, floats)};
}

void CheckOptions(const std::string& directory, const ModelConfig& config,
                  const PrecisionOptions& options) {
  Require(options.outliers <= MaxOutliers(config), ErrorCode::kInvalidArgument,
          "`outliers`: {} is more than the {} channels of {}", options.outliers,
          MaxOutliers(config), directory);
  if (WeightsFromDirectory(directory, config).type != NumberType::kInt8) return;
  for (const NumberType type : options.types) {
    Require(type == NumberType::kInt8, ErrorCode::kInvalidArgument,
            "`dtype`: {} is not possible, since {} holds int8 weights; int8 alone is",
            NumberTypeName(type), directory);
  }
  Require(options.outliers == 0, ErrorCode::kInvalidArgument,
          "`outliers`: {} is not possible, since {} holds int8 weights; 0 is, or a directory of "
          "floats",
          options.outliers, directory);
}

}  // namespace

PrecisionReport MeasurePrecision(const std::string& directory, const std::string& data,
                                 const PrecisionOptions& options, WorkObserver* observer) {
  const ModelConfig config = ReadModelConfig(directory);
  CheckOptions(directory, config, options);
  const TokenFile tokens(data);
  const ValidationSamples samples(tokens, config, directory, options.samples);
  PrecisionReport report = {
      directory, tokens.prefix(), samples.count(), config.max_length, 0, options.outliers, {}};
  for (const NumberType type : options.types) {
    const auto model = MakeModel(config, WeightsOf(directory, config, type, options.outliers));
    const LossSums sums = samples.SumLoss(*model, NumberTypeName(type), observer);
    report.predicted_tokens = sums.count;
    const double perplexity = std::exp(sums.Mean());
    Require(std::isfinite(perplexity), ErrorCode::kCorrupt,
            "{}: the model's loss in {} is {}, whose perplexity is no number", directory,
            NumberTypeName(type), sums.Mean());
    const double first = report.results.empty() ? perplexity : report.results[0].perplexity;
    report.results.push_back({type, sums.Mean(), perplexity, perplexity / first - 1,
                              static_cast<int64_t>(WeightBytes(config, type))});
  }
  return report;
}

OrderedJson PrecisionJson(const PrecisionReport& report) {
  OrderedJson results = OrderedJson::array();
  for (const PrecisionResult& result : report.results) {
    results.push_back({{"dtype", NumberTypeName(result.type)},
                       {"loss", result.loss},
                       {"perplexity", result.perplexity},
                       {"perplexity_change", result.perplexity_change},
                       {"weight_bytes", result.weight_bytes}});
  }
  return {{"model", report.model},
          {"data", report.data},
          {"samples", report.samples},
          {"sample_length", report.sample_length},
          {"predicted_tokens", report.predicted_tokens},
          {"outliers", report.outliers},
          {"commit", kBuildCommit},
          {"results", results}};
}

std::string PrecisionTable(const PrecisionReport& report) {
  std::string text = fmt::format("{:<5}  {:>8}  {:>10}  {:>8}  {:>10}\n", "dtype", "loss",
                                 "perplexity", "change", "weights MB");
  for (const PrecisionResult& result : report.results) {
    text += fmt::format("{:<5}  {:>8.5f}  {:>10.4f}  {:>+7.3f}%  {:>10.1f}\n",
                        NumberTypeName(result.type), result.loss, result.perplexity,
                        result.perplexity_change * 100,
                        static_cast<double>(result.weight_bytes) * 1e-6);
  }
  return text + fmt::format("\n{} predicted tokens in {} samples of {}; {} outlier channels.\n",
                            report.predicted_tokens, report.samples, report.sample_length,
                            report.outliers);
}

}  // namespace blockformer
