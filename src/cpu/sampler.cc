#include "cpu/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace blockformer {
namespace {

// Below this the softmax is as good as the largest logit, and f32 soon cannot hold the quotients.
constexpr double kMinTemperature = 1e-6;

double Weight(const TokenDraw& draw, float logit, float largest) {
  return std::exp((static_cast<double>(logit) - largest) / draw.options->temperature);
}

// How many of the ranked tokens, with these weights, make up top_p of `sum`.
size_t NucleusSize(const std::vector<double>& weights, double wanted) {
  size_t kept = 0;
  double sum = 0;
  while (kept < weights.size() && sum < wanted) sum += weights[kept++];
  return std::max<size_t>(kept, 1);
}

// Draws from the ranked tokens that are kept by their weights.
int32_t Draw(const TokenDraw& draw, std::span<const RankedToken> candidates,
             const std::vector<double>& weights) {
  double total = 0;
  for (const double weight : weights) total += weight;
  double remaining = KeyedUniform(draw.options->seed, draw.stream, draw.position) * total;
  for (size_t i = 0; i < weights.size(); ++i) {
    remaining -= weights[i];
    if (remaining < 0) return candidates[i].id;
  }
  return candidates[weights.size() - 1].id;
}

}  // namespace

void ValidateSampling(const SamplingOptions& options) {
  const auto require = [](bool condition, const char* name, double value, const char* range) {
    Require(condition, ErrorCode::kInvalidArgument, "{}: {} is out of range; {} is wanted", name,
            value, range);
  };
  require(options.repetition_penalty >= 0.01 && options.repetition_penalty <= 100,
          "repetition_penalty", options.repetition_penalty, "0.01 to 100");
  require(options.temperature >= 0 && options.temperature <= 100, "temperature",
          options.temperature, "0 to 100");
  require(options.top_k >= 0, "top_k", static_cast<double>(options.top_k), "0 or more");
  require(options.top_p > 0 && options.top_p <= 1, "top_p", options.top_p,
          "more than 0, at most 1");
  require(options.min_p >= 0 && options.min_p <= 1, "min_p", options.min_p, "0 to 1");
}

DrawMethod MethodOf(const SamplingOptions& options) {
  if (options.temperature < kMinTemperature) return DrawMethod::kLargest;
  const bool filters = options.top_k > 0 || options.top_p < 1 || options.min_p > 0;
  return filters ? DrawMethod::kCandidates : DrawMethod::kWithNoise;
}

uint64_t NoiseKey(const TokenDraw& draw) {
  return KeyedBits(draw.options->seed, draw.stream, draw.position);
}

float InverseTemperature(const SamplingOptions& options) {
  return static_cast<float>(1 / options.temperature);
}

std::vector<int32_t> DistinctIds(std::span<const int32_t> history) {
  std::vector<int32_t> ids(history.begin(), history.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

void PenaliseRepetition(double penalty, std::span<const int32_t> seen, int32_t first_id,
                        std::span<float> logits) {
  const int64_t end = first_id + static_cast<int64_t>(logits.size());
  for (auto id = std::lower_bound(seen.begin(), seen.end(), first_id);
       id != seen.end() && *id < end; ++id) {
    float& logit = logits[static_cast<size_t>(*id - first_id)];
    // A finite logit stays one.
    constexpr double kMost = std::numeric_limits<float>::max();
    logit = static_cast<float>(
        std::clamp(logit > 0 ? logit / penalty : logit * penalty, -kMost, kMost));
  }
}

std::optional<int32_t> SampleCandidate(const TokenDraw& draw,
                                       std::span<const RankedToken> candidates, bool all_tokens,
                                       double sum) {
  const SamplingOptions& options = *draw.options;
  size_t kept = candidates.size();
  if (options.top_k > 0) {
    kept = std::min(kept, static_cast<size_t>(options.top_k));
    if (kept < static_cast<size_t>(options.top_k) && !all_tokens) return std::nullopt;
  }
  std::vector<double> weights;
  for (const RankedToken& token : candidates.first(kept)) {
    weights.push_back(Weight(draw, token.score, candidates[0].score));
  }
  if (options.top_p < 1 && options.top_k > 0) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    weights.resize(NucleusSize(weights, options.top_p * total));
  } else if (options.top_p < 1) {
    const double error = all_tokens ? 0 : kSumError;
    const size_t size = NucleusSize(weights, options.top_p * sum * (1 + error));
    const double held = std::accumulate(weights.begin(), weights.end(), 0.0);
    if (!all_tokens && (held < options.top_p * sum * (1 + error) ||
                        size != NucleusSize(weights, options.top_p * sum * (1 - error)))) {
      return std::nullopt;
    }
    weights.resize(size);
  } else if (options.top_k == 0 && !all_tokens && weights.back() >= options.min_p) {
    return std::nullopt;
  }
  // The likeliest token's weight is 1.
  while (weights.back() == 0 || weights.back() < options.min_p) weights.pop_back();
  return Draw(draw, candidates, weights);
}

int32_t SampleToken(const TokenDraw& draw, std::span<float> logits) {
  const SamplingOptions& options = *draw.options;
  const int64_t count = static_cast<int64_t>(logits.size());
  if (!ScanLogits(logits.data(), count, 0).all_finite) return kNoToken;
  if (options.repetition_penalty != 1.0) {
    PenaliseRepetition(options.repetition_penalty, DistinctIds(draw.history), 0, logits);
  }
  switch (MethodOf(options)) {
    case DrawMethod::kLargest:
      return FindLargest(logits.data(), count, 0).id;
    case DrawMethod::kWithNoise:
      return FindLargestWithNoise(logits.data(), count, 0, InverseTemperature(options),
                                  NoiseKey(draw))
          .id;
    case DrawMethod::kCandidates:
      break;
  }
  std::vector<RankedToken> tokens;
  tokens.reserve(logits.size());
  for (int32_t id = 0; id < count; ++id) tokens.push_back({logits[static_cast<size_t>(id)], id});
  std::sort(tokens.begin(), tokens.end(),
            [](const RankedToken& a, const RankedToken& b) { return a.Before(b); });
  double sum = 0;
  for (const RankedToken& token : tokens) sum += Weight(draw, token.score, tokens[0].score);
  return *SampleCandidate(draw, tokens, /*all_tokens=*/true, sum);
}

}  // namespace blockformer
