#include "bench/precision.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/progress.h"
#include "bench/build_info.h"
#include "bench/cost.h"
#include "bench/outliers.h"
#include "checkpoint/model_directory.h"
#include "data/packing.h"
#include "data/token_file.h"
#include "engine/forward.h"
#include "engine/weights.h"

namespace blockformer {
namespace {

struct Sample {
  ForwardInput input;
  std::vector<int32_t> labels;
};

Sample ReadSample(const PackedSamples& samples, int64_t index) {
  const auto length = static_cast<size_t>(samples.options().sample_length);
  std::vector<int32_t> mask(length);
  Sample sample;
  sample.labels.resize(length);
  ForwardInput& input = sample.input;
  input.batch = 1;
  input.units = samples.options().sample_length / samples.options().block_length;
  input.ids.resize(length);
  samples.Read(index, input.ids, mask, sample.labels);
  for (const int32_t value : mask) input.mask.push_back(static_cast<uint8_t>(value));
  // No block is padding alone: neither end of a document gets a whole block of it.
  input.unit_mask.assign(static_cast<size_t>(input.units), 1);
  return sample;
}

// Sums over `count` samples, spread evenly as in the trainer's validation.
LossSums SumLoss(const Model& model, const PackedSamples& samples, int64_t count) {
  ProgressBar progress(NumberTypeName(model.weight_type()), count, "samples");
  LossSums total;
  for (int64_t i = 0; i < count; ++i) {
    const Sample sample = ReadSample(samples, i * samples.NumSamples() / count);
    const LossSums sums =
        ComputeLoss(model, sample.input, sample.labels, Forward(model, sample.input));
    total.sum += sums.sum;
    total.count += sums.count;
    progress.Update(i + 1);
  }
  return total;
}

ReadWeights WeightsOf(const std::string& directory, const ModelConfig& config, NumberType type,
                      int64_t outliers) {
  if (outliers == 0) return WeightsFromDirectory(directory, config, type);
  const auto floats = WithOutliers(
      config, WeightsFromDirectory(directory, config, NumberType::kF32).floats, outliers);
  return {floats, type, ModelQuantizer(config, floats)};
}

void CheckOptions(const std::string& directory, const ModelConfig& config,
                  const PrecisionOptions& options) {
  // ModelConfig::block_length of a vanilla model is 1.
  Require(config.max_length > config.block_length, ErrorCode::kInvalidArgument,
          "{}: max_length {} holds nothing to predict; more than {} is wanted", directory,
          config.max_length, config.block_length);
  Require(options.outliers <= MaxOutliers(config), ErrorCode::kInvalidArgument,
          "--outliers: {} is more than the {} channels of {}", options.outliers,
          MaxOutliers(config), directory);
  if (WeightsFromDirectory(directory, config).type != NumberType::kInt8) return;
  for (const NumberType type : options.types) {
    Require(type == NumberType::kInt8, ErrorCode::kInvalidArgument,
            "--dtype: {} is not possible, since {} holds int8 weights; int8 alone is",
            NumberTypeName(type), directory);
  }
  Require(options.outliers == 0, ErrorCode::kInvalidArgument,
          "--outliers: {} is not possible, since {} holds int8 weights; 0 is, or a directory of "
          "floats",
          options.outliers, directory);
}

// How many samples there are to measure.
int64_t CountSamples(const PackedSamples& samples, const TokenFile& tokens,
                     const ModelConfig& config, int64_t wanted) {
  Require(samples.NumSamples() > 0, ErrorCode::kInvalidArgument,
          "--data: the {} tokens of {} do not fill one sample of {}", tokens.NumTokens(),
          tokens.prefix(), config.max_length);
  return std::min(wanted, samples.NumSamples());
}

}  // namespace

OrderedJson MeasurePrecision(const std::string& directory, const std::string& data,
                             const PrecisionOptions& options) {
  const ModelConfig config = ReadModelConfig(directory);
  CheckOptions(directory, config, options);
  const TokenFile tokens(data);
  const PackedSamples samples(tokens, ModelPacking(config, /*published=*/false));
  const int64_t count = CountSamples(samples, tokens, config, options.samples);
  OrderedJson results = OrderedJson::array();
  int64_t predicted = 0;
  for (const NumberType type : options.types) {
    const Model model(config, WeightsOf(directory, config, type, options.outliers));
    const LossSums sums = SumLoss(model, samples, count);
    predicted = sums.count;
    Require(predicted > 0, ErrorCode::kInvalidArgument,
            "--data: the first {} samples of {} hold no token to predict", count, tokens.prefix());
    const double perplexity = std::exp(sums.Mean());
    Require(std::isfinite(perplexity), ErrorCode::kCorrupt,
            "{}: the model's loss in {} is {}, whose perplexity is no number", directory,
            NumberTypeName(type), sums.Mean());
    const double first = results.empty() ? perplexity : results[0]["perplexity"].get<double>();
    results.push_back({{"dtype", NumberTypeName(type)},
                       {"loss", sums.Mean()},
                       {"perplexity", perplexity},
                       {"perplexity_change", perplexity / first - 1},
                       {"weight_bytes", static_cast<int64_t>(WeightBytes(config, type))}});
  }
  return {{"model", directory},
          {"data", tokens.prefix()},
          {"samples", count},
          {"sample_length", config.max_length},
          {"predicted_tokens", predicted},
          {"outliers", options.outliers},
          {"commit", kBuildCommit},
          {"results", results}};
}

std::string PrecisionTable(const OrderedJson& report) {
  std::string text = fmt::format("{:<5}  {:>8}  {:>10}  {:>8}  {:>10}\n", "dtype", "loss",
                                 "perplexity", "change", "weights MB");
  for (const OrderedJson& result : report["results"]) {
    text += fmt::format("{:<5}  {:>8.5f}  {:>10.4f}  {:>+7.3f}%  {:>10.1f}\n",
                        result["dtype"].get<std::string>(), result["loss"].get<double>(),
                        result["perplexity"].get<double>(),
                        result["perplexity_change"].get<double>() * 100,
                        static_cast<double>(result["weight_bytes"].get<int64_t>()) * 1e-6);
  }
  return text +
         fmt::format("\n{} predicted tokens in {} samples of {}; {} outlier channels.\n",
                     report["predicted_tokens"].get<int64_t>(), report["samples"].get<int64_t>(),
                     report["sample_length"].get<int64_t>(), report["outliers"].get<int64_t>());
}

}  // namespace blockformer
