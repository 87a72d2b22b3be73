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

LogitChanges::LogitChanges(const TokenDraw& draw)
    : repetition_penalty_(draw.options->repetition_penalty),
      frequency_penalty_(draw.options->frequency_penalty),
      presence_penalty_(draw.options->presence_penalty),
      excluded_(draw.excluded) {
  const SamplingOptions& options = *draw.options;
  may_raise_ = repetition_penalty_ < 1 || frequency_penalty_ < 0 || presence_penalty_ < 0;
  for (const auto& [id, bias] : options.logit_bias) {
    may_raise_ |= bias > 0;
    changes_.push_back({id, bias});
  }
  if (repetition_penalty_ != 1) {
    for (const int32_t id : draw.history) changes_.push_back({id, 0, /*is_seen=*/true});
  }
  if (frequency_penalty_ != 0 || presence_penalty_ != 0) {
    for (const int32_t id : draw.history.last(static_cast<size_t>(draw.generated))) {
      changes_.push_back({id, 0, /*is_seen=*/false, /*made=*/1});
    }
  }
  std::ranges::sort(changes_, {}, &Change::id);
  size_t kept = 0;
  for (size_t i = 0; i < changes_.size(); ++i) {
    const Change change = changes_[i];
    if (i == 0 || changes_[kept - 1].id != change.id) {
      changes_[kept++] = change;
      continue;
    }
    Change& same = changes_[kept - 1];
    same.bias += change.bias;
    same.is_seen |= change.is_seen;
    same.made += change.made;
  }
  changes_.resize(kept);
}

float LogitChanges::Changed(const Change& change, double logit) const {
  logit += change.bias;
  if (change.is_seen) {
    logit = logit > 0 ? logit / repetition_penalty_ : logit * repetition_penalty_;
  }
  if (change.made > 0) {
    logit -= frequency_penalty_ * static_cast<double>(change.made) + presence_penalty_;
  }
  constexpr double kMost = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(logit, -kMost, kMost));
}

void LogitChanges::Apply(int32_t first_id, std::span<float> logits) const {
  const int64_t end = first_id + std::ssize(logits);
  for (auto change = std::ranges::lower_bound(changes_, first_id, {}, &Change::id);
       change != changes_.end() && change->id < end; ++change) {
    float& logit = logits[static_cast<size_t>(change->id - first_id)];
    logit = Changed(*change, logit);
  }
  ExcludeIds(excluded_, first_id, logits);
}

void ExcludeIds(std::span<const int32_t> excluded, int32_t first_id, std::span<float> logits) {
  constexpr float kExcludedLogit = -1e30F;  // finite, and of no weight beside others
  const int64_t end = first_id + std::ssize(logits);
  for (auto id = std::ranges::lower_bound(excluded, first_id); id != excluded.end() && *id < end;
       ++id) {
    logits[static_cast<size_t>(*id - first_id)] = kExcludedLogit;
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
  LogitChanges(draw).Apply(0, logits);
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
