#ifndef BLOCKFORMER_KERNELS_CHOICE_H_
#define BLOCKFORMER_KERNELS_CHOICE_H_

#include <cstdint>
#include <limits>

namespace blockformer {

// Loops over logits of one row or a piece of it, for choosing the next token. What they say of a
// logit does not depend on how a row is cut into pieces.

// A token and what it is ranked by.
struct RankedToken {
  float score = -std::numeric_limits<float>::infinity();
  int32_t id = std::numeric_limits<int32_t>::max();

  // Higher scores come first, and of equal ones lower ids.
  bool Before(const RankedToken& other) const {
    return score != other.score ? score > other.score : id < other.id;
  }
};

// What a first look at some logits tells.
struct LogitScan {
  bool all_finite;
  bool any_from;  // a threshold on, which includes it
};
LogitScan ScanLogits(const float* logits, int64_t count, float threshold);

// The first of logits [count] by rank; the first logit is that of `first_id`. Logits must be
// finite.
RankedToken FindLargest(const float* logits, int64_t count, int32_t first_id);

// The first of logits [count] by logit * inverse_temperature + noise, where the noise of an id is
// Gumbel-distributed and depends on the id and `key` alone. Over a whole row, that draws from the
// softmax (Gumbel, 1954; Maddison et al., arXiv 1411.0030).
RankedToken FindLargestWithNoise(const float* logits, int64_t count, int32_t first_id,
                                 float inverse_temperature, uint64_t key);

// Writes the tokens whose logit is above `threshold`, by ascending id, and returns their number, at
// most `count`.
int64_t CollectAbove(const float* logits, int64_t count, int32_t first_id, float threshold,
                     RankedToken* out);

// The sum of exp((logit - reference) * inverse_temperature), to a relative error of 1e-6.
float SumOfExponentials(const float* logits, int64_t count, float reference,
                        float inverse_temperature);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_CHOICE_H_
