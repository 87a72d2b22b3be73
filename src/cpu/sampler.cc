#include "cpu/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/random.h"

namespace blockformer {
namespace {

// The tokens that a row's filters may keep, by rank: bucket by bucket, each sorted when it is
// looked into. Reused from row to row by one thread.
class RankedRow {
 public:
  // The first tokens by rank that some conditions keep.
  struct Prefix {
    int bucket = 0;     // all buckets before this one
    int64_t count = 0;  // and so many tokens of it
    double mass = 0;    // their weights
  };

  void Set(const TokenDraw& draw, std::span<const float> logits) {
    draw_ = &draw;
    logits_ = logits;
    sorted_bucket_ = -1;
    largest_ = FindLargest(logits.data(), std::ssize(logits), 0).score;
    FillWeightBuckets(logits.data(), std::ssize(logits), largest_,
                      InverseTemperature(*draw.options), &buckets_);
  }

  // The tokens before which there are fewer than `count`, of less than `mass` in all, and that
  // weigh at least `weight`; one at least.
  Prefix Take(int64_t count, double mass, double weight) {
    Prefix prefix;
    int64_t taken = 0;
    // Buckets before this one hold nothing that weighs less.
    const double heavy =
        weight > 0 ? -std::log(weight) * kBucketsPerNat - 1 - kRoundoff : kUsedBuckets;
    for (; prefix.bucket < kUsedBuckets; ++prefix.bucket) {
      const int bucket = prefix.bucket;
      const int64_t size = buckets_.counts[bucket];
      const double sum = buckets_.sums[bucket];
      if (taken + size <= count && prefix.mass + sum < mass && bucket < heavy) {
        taken += size;
        prefix.mass += sum;
        continue;
      }
      for (const RankedToken& token : Sorted(bucket)) {
        const double own = WeightOf(token);
        const bool keeps = taken < count && prefix.mass < mass && own >= weight;
        if (taken > 0 && !keeps) return prefix;
        ++taken;
        ++prefix.count;
        prefix.mass += own;
      }
      prefix.count = 0;  // all of the bucket
    }
    return prefix;
  }

  // The token that holds `place`, in [0, mass), of a prefix's weights in their order.
  int32_t At(const Prefix& prefix, double place) {
    int last = 0;  // the last bucket with a token of the prefix
    for (int bucket = 0; bucket < prefix.bucket; ++bucket) {
      if (buckets_.counts[bucket] == 0) continue;
      if (place < buckets_.sums[bucket]) return At(Sorted(bucket), place);
      place -= buckets_.sums[bucket];
      last = bucket;
    }
    if (prefix.count == 0) return Sorted(last).back().id;  // by a roundoff
    return At(Sorted(prefix.bucket).first(prefix.count), place);
  }

 private:
  static constexpr int kUsedBuckets = kWeightBuckets - 1;
  static constexpr double kRoundoff = 0.01;  // of a bucket, that an exponent in f32 may be off by

  double WeightOf(const RankedToken& token) const {
    return std::exp((static_cast<double>(token.score) - largest_) / draw_->options->temperature);
  }

  std::span<const RankedToken> Sorted(int bucket) {
    if (bucket == sorted_bucket_) return sorted_;
    sorted_bucket_ = bucket;
    sorted_.resize(buckets_.counts[bucket]);
    CollectBucket(logits_.data(), std::ssize(logits_), largest_,
                  InverseTemperature(*draw_->options), bucket, sorted_.data());
    std::ranges::sort(sorted_, [](const auto& a, const auto& b) { return a.Before(b); });
    return sorted_;
  }

  int32_t At(std::span<const RankedToken> tokens, double place) const {
    for (const RankedToken& token : tokens) {
      place -= WeightOf(token);
      if (place < 0) return token.id;
    }
    return tokens.back().id;  // by a roundoff
  }

  const TokenDraw* draw_ = nullptr;
  std::span<const float> logits_;
  float largest_ = 0;
  WeightBuckets buckets_;
  int sorted_bucket_ = -1;
  std::vector<RankedToken> sorted_;
};

}  // namespace

uint64_t NoiseKey(const TokenDraw& draw) {
  return KeyedBits(draw.options->seed, draw.stream, draw.position);
}

float InverseTemperature(const SamplingOptions& options) {
  return static_cast<float>(1 / options.temperature);
}

namespace {

constexpr float kExcludedLogit = -1e30F;  // finite, and of no weight beside others

// A set of ids, which gives them back in ascending order. Reused by one thread.
class IdSet {
 public:
  void Add(int32_t id) {
    const size_t word = static_cast<size_t>(id) / 64;
    if (word >= words_.size()) words_.resize(word + 1);
    words_[word] |= uint64_t{1} << (id % 64);
  }
  // Calls take(id) for each, and empties the set.
  template <class Take>
  void Drain(const Take& take) {
    for (size_t word = 0; word < words_.size(); ++word) {
      for (uint64_t bits = words_[word]; bits != 0; bits &= bits - 1) {
        take(static_cast<int32_t>(word * 64) + std::countr_zero(bits));
      }
      words_[word] = 0;
    }
  }

 private:
  std::vector<uint64_t> words_;
};

}  // namespace

void LogitChanges::Set(const TokenDraw& draw) {
  const SamplingOptions& options = *draw.options;
  repetition_penalty_ = options.repetition_penalty;
  frequency_penalty_ = options.frequency_penalty;
  presence_penalty_ = options.presence_penalty;
  excluded_ = draw.excluded;
  allowed_ = draw.allowed;
  changes_.clear();
  may_raise_ = repetition_penalty_ < 1 || frequency_penalty_ < 0 || presence_penalty_ < 0;
  const bool punishes_seen = repetition_penalty_ != 1;
  const bool punishes_made = frequency_penalty_ != 0 || presence_penalty_ != 0;
  const auto made = draw.history.last(punishes_made ? static_cast<size_t>(draw.generated) : 0);
  thread_local IdSet ids;
  for (const auto& [id, bias] : options.logit_bias) ids.Add(id);
  if (punishes_seen) {
    for (const int32_t id : draw.history) ids.Add(id);
  }
  for (const int32_t id : made) ids.Add(id);
  ids.Drain([&](int32_t id) { changes_.push_back({id}); });
  for (const auto& [id, bias] : options.logit_bias) {
    may_raise_ |= bias > 0;
    Find(id)->bias = bias;
  }
  for (const int32_t id : made) ++Find(id)->made;
  if (!punishes_seen) return;
  if (options.logit_bias.empty() && !punishes_made) {
    for (Change& change : changes_) change.is_seen = true;
  } else {
    for (const int32_t id : draw.history) Find(id)->is_seen = true;
  }
}

LogitChanges::Change* LogitChanges::Find(int32_t id) {
  return &*std::ranges::lower_bound(changes_, id, {}, &Change::id);
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
    float& logit = logits[change->id - first_id];
    logit = Changed(*change, logit);
  }
  ExcludeIds(excluded_, first_id, logits);
  KeepAllowed(allowed_, first_id, logits);
}

void ExcludeIds(std::span<const int32_t> excluded, int32_t first_id, std::span<float> logits) {
  const int64_t end = first_id + std::ssize(logits);
  for (auto id = std::ranges::lower_bound(excluded, first_id); id != excluded.end() && *id < end;
       ++id) {
    logits[*id - first_id] = kExcludedLogit;
  }
}

void KeepAllowed(std::span<const uint64_t> allowed, int32_t first_id, std::span<float> logits) {
  if (allowed.empty()) return;
  const int64_t end = first_id + std::ssize(logits);
  for (int64_t id = first_id, next = 0; id < end; id = next) {
    next = std::min(end, (id / 64 + 1) * 64);
    const uint64_t bits = id / 64 < std::ssize(allowed) ? allowed[id / 64] : 0;
    const std::span<float> some = logits.subspan(id - first_id, next - id);
    if (bits == 0) {
      std::ranges::fill(some, kExcludedLogit);
    } else if (bits != ~uint64_t{0}) {
      for (int64_t i = 0; i < std::ssize(some); ++i) {
        if ((bits >> ((id + i) % 64) & 1) == 0) some[i] = kExcludedLogit;
      }
    }
  }
}

int32_t SampleFiltered(const TokenDraw& draw, std::span<const float> logits) {
  constexpr double kAll = std::numeric_limits<double>::infinity();
  const SamplingOptions& options = *draw.options;
  thread_local RankedRow row;
  row.Set(draw, logits);
  const int64_t count = options.top_k > 0 ? options.top_k : std::ssize(logits);
  double mass = kAll;
  if (options.top_p < 1) mass = options.top_p * row.Take(count, kAll, 0).mass;
  const RankedRow::Prefix kept = row.Take(count, mass, options.min_p);
  return row.At(kept, KeyedUniform(options.seed, draw.stream, draw.position) * kept.mass);
}

TokenLogProbabilities RateToken(std::span<const float> logits, int32_t token, int64_t top) {
  constexpr int64_t kPiece = 256;
  const auto before = [](const RankedToken& a, const RankedToken& b) { return a.Before(b); };
  const int64_t count = std::ssize(logits);
  const int64_t wanted = std::clamp<int64_t>(top, 1, count);
  std::vector<RankedToken> first;
  float threshold = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < count; i += kPiece) {
    const size_t held = first.size();
    first.resize(held + kPiece);
    const int64_t added = CollectAbove(&logits[i], std::min(kPiece, count - i),
                                       static_cast<int32_t>(i), threshold, &first[held]);
    first.resize(held + added);
    if (added == 0 || std::ssize(first) < wanted) continue;
    // Of equal logits the earlier ones, whose ids are lower, are held already.
    std::ranges::partial_sort(first, first.begin() + wanted, before);
    first.resize(wanted);
    threshold = first.back().score;
  }
  const double largest = first[0].score;
  const double norm =
      largest + std::log(SumOfExponentials(logits.data(), count, first[0].score, 1));
  TokenLogProbabilities result;
  result.chosen = logits[token] - norm;
  for (const RankedToken& likely : first) {
    if (std::ssize(result.top) < top) result.top.push_back({likely.id, likely.score - norm});
  }
  return result;
}

int32_t SampleToken(const TokenDraw& draw, std::span<float> logits) {
  const int64_t count = static_cast<int64_t>(logits.size());
  if (!ScanLogits(logits.data(), count, 0).all_finite) return kNoToken;
  LogitChanges(draw).Apply(0, logits);
  switch (MethodOf(*draw.options)) {
    case DrawMethod::kLargest:
      return FindLargest(logits.data(), count, 0).id;
    case DrawMethod::kGumbelMax:
      return FindLargestWithNoise(logits.data(), count, 0, InverseTemperature(*draw.options),
                                  NoiseKey(draw))
          .id;
    case DrawMethod::kFiltered:
      break;
  }
  return SampleFiltered(draw, logits);
}

}  // namespace blockformer
