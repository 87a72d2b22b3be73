#ifndef BLOCKFORMER_CPU_SAMPLER_H_
#define BLOCKFORMER_CPU_SAMPLER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/logit_kernels.h"
#include "runner/sampling.h"

namespace blockformer {

// Where the next token of a sequence is drawn. The draw depends on (seed, stream, position) alone,
// so a sequence's text does not depend on its batch mates.
struct TokenDraw {
  const SamplingOptions* options = nullptr;
  uint64_t stream = 0;
  uint64_t position = 0;
  std::span<const int32_t> history = {};   // the sequence so far, for the penalties
  int64_t generated = 0;                   // the last so many of them are no prompt
  std::span<const int32_t> excluded = {};  // never chosen; ascending
  int64_t top_log_probabilities = -1;      // wanted of the likeliest tokens; -1: no token's
  std::span<const uint64_t> allowed = {};  // a TokenConstraint's; the others are never chosen
};

// The noise of kGumbelMax, for FindLargestWithNoise.
uint64_t NoiseKey(const TokenDraw& draw);
float InverseTemperature(const SamplingOptions& options);

// Stands for a token that could not be chosen, since a logit was not a finite number.
inline constexpr int32_t kNoToken = -1;

// Chooses one of `logits`' ids, or kNoToken. Changes the logits.
int32_t SampleToken(const TokenDraw& draw, std::span<float> logits);

// For kFiltered, the same from logits that are finite and changed already. The filters keep the
// most likely tokens, of equal logits those of lower ids: the first top_k; of these as many as it
// takes to hold top_p of their probability; and none that is less likely than min_p, or e^-31, of
// the likeliest. Looks at each logit a few times and sorts few of them, however many are kept.
int32_t SampleFiltered(const TokenDraw& draw, std::span<const float> logits);

// How likely `token` is by finite `logits`, and the `top` likeliest ones.
TokenLogProbabilities RateToken(std::span<const float> logits, int32_t token, int64_t top);

// What a draw's options and exclusions change of the logits, before any filter.
class LogitChanges {
 public:
  LogitChanges() = default;  // changes nothing
  explicit LogitChanges(const TokenDraw& draw) { Set(draw); }
  // Takes another draw's place; keeps its memory.
  void Set(const TokenDraw& draw);

  // Whether a logit may become larger than it was.
  bool may_raise() const { return may_raise_; }
  // Changes logits, of which the first is that of `first_id`. Finite ones stay finite.
  void Apply(int32_t first_id, std::span<float> logits) const;

 private:
  struct Change {
    int32_t id = 0;
    double bias = 0;
    bool is_seen = false;  // for the repetition penalty
    int64_t made = 0;      // how often, for the other penalties
  };
  float Changed(const Change& change, double logit) const;

  double repetition_penalty_ = 1;
  double frequency_penalty_ = 0;
  double presence_penalty_ = 0;
  bool may_raise_ = false;
  Change* Find(int32_t id);

  std::vector<Change> changes_;  // by ascending id
  std::span<const int32_t> excluded_;
  std::span<const uint64_t> allowed_;
};

// Makes the logits of `excluded` ids, in ascending order, so small that none is chosen; the first
// logit is that of `first_id`.
void ExcludeIds(std::span<const int32_t> excluded, int32_t first_id, std::span<float> logits);

// The same of the ids that a TokenConstraint does not allow.
void KeepAllowed(std::span<const uint64_t> allowed, int32_t first_id, std::span<float> logits);

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_SAMPLER_H_
