#ifndef BLOCKFORMER_CUDA_LOGITS_H_
#define BLOCKFORMER_CUDA_LOGITS_H_

// What a block of threads finds out about one row of logits.
#include "cuda/reduce.h"

namespace blockformer::cuda {

// A token by rank: greater keys come first, which are those of greater scores, and of equal ones
// those of lower ids.
using RankKey = unsigned long long;

__device__ inline RankKey KeyOf(float score, int32_t id) {
  const uint32_t bits = __float_as_uint(score + 0.0F);  // no -0, which would rank behind 0
  const uint32_t ordered = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  return static_cast<RankKey>(ordered) << 32 | ~static_cast<uint32_t>(id);
}
__device__ inline int32_t IdOf(RankKey key) {
  return static_cast<int32_t>(~static_cast<uint32_t>(key));
}
__device__ inline float ScoreOf(RankKey key) {
  const uint32_t ordered = static_cast<uint32_t>(key >> 32);
  return __uint_as_float((ordered & 0x80000000U) != 0 ? ordered & 0x7FFFFFFFU : ~ordered);
}

struct ReduceShared {
  RankKey keys[32];
  double doubles[32];
  float floats[32];
};

// Whether all logits are finite numbers.
__device__ inline bool AllFinite(const float* logits, int64_t count, ReduceShared* shared) {
  float poison = 0;  // NaN once a logit is not finite
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) poison += 0 * logits[i];
  return BlockSum(poison, shared->floats) == 0;
}

// The first key by rank of all that score(id) gives and that come behind `bound`.
template <typename Score>
__device__ RankKey FindFirst(int64_t count, RankKey bound, const Score& score,
                             ReduceShared* shared) {
  RankKey first = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    const RankKey key = KeyOf(score(i), static_cast<int32_t>(i));
    if (key > first && key < bound) first = key;
  }
  return BlockReduce(first, shared->keys, [](RankKey a, RankKey b) { return a > b ? a : b; });
}

inline constexpr RankKey kNoBound = ~RankKey{0};

// log(sum(exp(logit - largest))).
__device__ inline double LogOfSum(const float* logits, int64_t count, float largest,
                                  ReduceShared* shared) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    sum += static_cast<double>(expf(logits[i] - largest));
  }
  return log(BlockSum(sum, shared->doubles));
}

// Threads of the CUDA block that takes one row of logits. They depend on the vocabulary's size
// alone, so that a row's sums are always cut alike.
inline unsigned LogitThreads(int64_t vocab) { return vocab >= 2048 ? 256 : 64; }

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_LOGITS_H_
