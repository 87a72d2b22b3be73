#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/error.h"
#include "base/random.h"
#include "kernels/argmax.h"

namespace blockformer {
namespace {

struct Candidate {
  int32_t id;
  double weight;  // proportional to the probability
};

void PenaliseRepetition(double penalty, std::span<const int32_t> history, std::span<float> logits) {
  const std::unordered_set<int32_t> seen(history.begin(), history.end());
  for (const int32_t id : seen) {
    if (static_cast<size_t>(id) >= logits.size()) continue;
    float& logit = logits[static_cast<size_t>(id)];
    logit = static_cast<float>(logit > 0 ? logit / penalty : logit * penalty);
  }
}

// The candidates that the filters keep, most likely first; ties in the order of their ids.
std::vector<Candidate> Filter(const SamplingOptions& options, std::span<const float> logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp((logits[i] - largest) / options.temperature);
    candidates.push_back({static_cast<int32_t>(i), weight});
  }
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  };
  if (options.top_k > 0 && static_cast<size_t>(options.top_k) < candidates.size()) {
    const auto end = candidates.begin() + options.top_k;
    std::partial_sort(candidates.begin(), end, candidates.end(), likelier);
    candidates.erase(end, candidates.end());
  } else if (options.top_p < 1.0) {
    std::sort(candidates.begin(), candidates.end(), likelier);
  }
  if (options.top_p < 1.0) {
    double total = 0;
    for (const Candidate& candidate : candidates) total += candidate.weight;
    double sum = 0;
    size_t kept = 0;
    while (kept < candidates.size() && sum < options.top_p * total)
      sum += candidates[kept++].weight;
    candidates.resize(std::max<size_t>(kept, 1));
  }
  // The likeliest candidate's weight is 1.
  std::erase_if(candidates,
                [&](const Candidate& c) { return c.weight == 0 || c.weight < options.min_p; });
  return candidates;
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

int32_t SampleToken(const SamplingOptions& options, uint64_t stream, uint64_t position,
                    std::span<const int32_t> history, std::span<float> logits) {
  if (options.repetition_penalty != 1.0) {
    PenaliseRepetition(options.repetition_penalty, history, logits);
  }
  const bool finite =
      std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); });
  Require(finite, ErrorCode::kCorrupt,
          "the model computed logits that are not finite numbers; its weights are damaged, or its "
          "training diverged");
  if (options.temperature == 0) {
    return static_cast<int32_t>(ArgMax(logits.data(), static_cast<int64_t>(logits.size())));
  }
  const std::vector<Candidate> candidates = Filter(options, logits);
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  double remaining = KeyedUniform(options.seed, stream, position) * total;
  for (const Candidate& candidate : candidates) {
    remaining -= candidate.weight;
    if (remaining < 0) return candidate.id;
  }
  return candidates.back().id;
}

}  // namespace blockformer
