#include "runner/sampling.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace blockformer {
namespace {

// Below this the softmax is as good as the largest logit, and f32 soon cannot hold the quotients.
constexpr double kMinTemperature = 1e-6;

void RequireInRange(bool holds, const char* name, double value, const char* range) {
  Require(holds, ErrorCode::kInvalidArgument, "`{}`: {} is out of range; {} is wanted", name, value,
          range);
}

void ValidateBias(const std::vector<std::pair<int32_t, double>>& bias, int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (const auto& [id, value] : bias) {
    Require(id >= 0 && id < vocab_size, ErrorCode::kInvalidArgument,
            "logit_bias: token id {} is not in [0, {})", id, vocab_size);
    RequireInRange(std::abs(value) <= 100, "logit_bias", value, "-100 to 100");
    ids.push_back(id);
  }
  std::ranges::sort(ids);
  const auto repeated = std::ranges::adjacent_find(ids);
  if (repeated == ids.end()) return;
  Fail(ErrorCode::kInvalidArgument, "logit_bias: token id {} stands there twice", *repeated);
}

}  // namespace

void ValidateSampling(const SamplingOptions& options, int64_t vocab_size) {
  ValidateBias(options.logit_bias, vocab_size);
  RequireInRange(options.repetition_penalty >= 0.01 && options.repetition_penalty <= 100,
                 "repetition_penalty", options.repetition_penalty, "0.01 to 100");
  RequireInRange(std::abs(options.frequency_penalty) <= 2, "frequency_penalty",
                 options.frequency_penalty, "-2 to 2");
  RequireInRange(std::abs(options.presence_penalty) <= 2, "presence_penalty",
                 options.presence_penalty, "-2 to 2");
  RequireInRange(options.temperature >= 0 && options.temperature <= 100, "temperature",
                 options.temperature, "0 to 100");
  RequireInRange(options.top_k >= 0, "top_k", static_cast<double>(options.top_k), "0 or more");
  RequireInRange(options.top_p > 0 && options.top_p <= 1, "top_p", options.top_p,
                 "more than 0, at most 1");
  RequireInRange(options.min_p >= 0 && options.min_p <= 1, "min_p", options.min_p, "0 to 1");
}

DrawMethod MethodOf(const SamplingOptions& options) {
  if (options.temperature < kMinTemperature) return DrawMethod::kLargest;
  const bool filters = options.top_k > 0 || options.top_p < 1 || options.min_p > 0;
  return filters ? DrawMethod::kFiltered : DrawMethod::kGumbelMax;
}

}  // namespace blockformer
