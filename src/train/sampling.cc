#include "train/sampling.h"

#include "base/error.h"
#include "base/random.h"

namespace blockformer::train {

void ValidateSampling(const SamplingSettings& settings) {
  constexpr double kMaxTemperature = 100;
  Require(settings.temperature >= 0 && settings.temperature <= kMaxTemperature,
          ErrorCode::kInvalidArgument, "temperature: {} is out of range; 0 to {} is wanted",
          settings.temperature, kMaxTemperature);
  Require(settings.top_k >= 0, ErrorCode::kInvalidArgument,
          "top_k: {} is out of range; 0 or more is wanted", settings.top_k);
  Require(settings.top_p > 0 && settings.top_p <= 1, ErrorCode::kInvalidArgument,
          "top_p: {} is out of range; more than 0, at most 1 is wanted", settings.top_p);
}

torch::Tensor SampleTokens(const SamplingSettings& settings, const torch::Tensor& logits,
                           const std::vector<uint64_t>& streams, uint64_t position) {
  if (settings.temperature == 0) return logits.argmax(-1);
  const torch::Tensor scaled = logits.to(torch::kFloat64) / settings.temperature;
  torch::Tensor weights = (scaled - scaled.amax(-1, /*keepdim=*/true)).exp();
  torch::Tensor ids;  // of the weights' columns; undefined: the columns themselves
  if (settings.top_k > 0 && settings.top_k < weights.size(-1)) {
    std::tie(weights, ids) = weights.topk(settings.top_k);
  } else if (settings.top_p < 1) {
    std::tie(weights, ids) = weights.sort(/*stable=*/true, /*dim=*/-1, /*descending=*/true);
  }
  torch::Tensor sums = weights.cumsum(-1);
  if (settings.top_p < 1) {
    const torch::Tensor needed = sums - weights < settings.top_p * sums.slice(-1, -1);
    sums = (weights * needed).cumsum(-1);
  }
  std::vector<double> uniforms;
  for (const uint64_t stream : streams) {
    uniforms.push_back(KeyedUniform(settings.seed, stream, position));
  }
  const torch::Tensor targets =
      torch::tensor(uniforms, torch::kFloat64).to(logits.device()).unsqueeze(1) *
      sums.slice(-1, -1);
  const torch::Tensor columns =
      (sums <= targets).sum(-1, /*keepdim=*/true).clamp_max(sums.size(-1) - 1);
  return (ids.defined() ? ids.gather(-1, columns) : columns).squeeze(-1);
}

}  // namespace blockformer::train
