#ifndef BLOCKFORMER_KERNELS_LOGIT_KERNELS_H_
#define BLOCKFORMER_KERNELS_LOGIT_KERNELS_H_

#include <cstdint>
#include <limits>

namespace blockformer {

// Loops over logits of one row or a piece of it, for choosing the next token. Their result for a
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
  bool any_from;  // a logit is at least the threshold
};
LogitScan ScanLogits(const float* logits, int64_t count, float threshold);
// The same for `rows` rows that lie `stride` apart, each with a threshold of its own.
void ScanRows(const float* logits, int64_t rows, int64_t count, int64_t stride,
              const float* thresholds, LogitScan* scans);

// The token of logits [count] that ranks first; the logits are those of the ids from `first_id` on.
// Logits must be finite.
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

// A row's tokens by their weight exp((logit - largest) * inverse_temperature): bucket b holds those
// whose exponent is from -b / kBucketsPerNat down to -(b + 1) / kBucketsPerNat, the last one all
// that are lighter.
inline constexpr int kWeightBuckets = 2048;
inline constexpr int kBucketsPerNat = 64;
struct WeightBuckets {
  double sums[kWeightBuckets];     // of weights, each to a relative error of 1e-6
  int32_t counts[kWeightBuckets];  // of tokens
};
void FillWeightBuckets(const float* logits, int64_t count, float largest, float inverse_temperature,
                       WeightBuckets* buckets);

// Writes the tokens of one bucket, by ascending id, and returns their number.
int64_t CollectBucket(const float* logits, int64_t count, float largest, float inverse_temperature,
                      int bucket, RankedToken* out);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_LOGIT_KERNELS_H_
