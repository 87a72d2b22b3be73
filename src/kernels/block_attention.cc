#include "kernels/block_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "kernels/kv_pages.h"

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/block_attention.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#ifndef BLOCKFORMER_KERNELS_LOCAL_ATTENTION_TYPES_
#define BLOCKFORMER_KERNELS_LOCAL_ATTENTION_TYPES_
namespace blockformer {

inline constexpr int64_t kBlockVector = 16;  // numbers of the widest vectors
// The score of hidden keys: below all others, and finite.
inline constexpr float kHidden = std::numeric_limits<float>::lowest();

inline int64_t PaddedToVectors(int64_t size) {
  return (size + kBlockVector - 1) / kBlockVector * kBlockVector;
}

}  // namespace blockformer
#endif

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, kBlockVector>;

// Copies one head's vector to padded memory, turned by its position. Padding is zero. Half of the
// rotated dimensions, often 4 or 8, fill small vectors only.
void CopyRotated(const float* x, int64_t size, const RotaryTable& rotary, int64_t position,
                 float* out) {
  const hn::CappedTag<float, 4> tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t half = rotary.size() / 2;
  const float* cosines = rotary.Cosines(position);
  const float* sines = rotary.Sines(position);
  int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const auto a = hn::LoadU(tag, x + i);
    const auto b = hn::LoadU(tag, x + half + i);
    const auto cosine = hn::LoadU(tag, cosines + i);
    const auto sine = hn::LoadU(tag, sines + i);
    hn::StoreU(hn::NegMulAdd(b, sine, hn::Mul(a, cosine)), tag, out + i);
    hn::StoreU(hn::MulAdd(a, sine, hn::Mul(b, cosine)), tag, out + half + i);
  }
  for (; i < half; ++i) {
    const float a = x[i];
    const float b = x[half + i];
    out[i] = a * cosines[i] - b * sines[i];
    out[half + i] = b * cosines[i] + a * sines[i];
  }
  std::copy(x + 2 * half, x + size, out + 2 * half);
  std::fill(out + size, out + PaddedToVectors(size), 0.0f);
}

float Dot(const float* a, const float* b, int64_t padded_size) {
  const F32 tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  auto sum = hn::Zero(tag);
  for (int64_t d = 0; d < padded_size; d += lanes) {
    sum = hn::MulAdd(hn::LoadU(tag, a + d), hn::LoadU(tag, b + d), sum);
  }
  return hn::GetLane(hn::SumOfLanes(tag, sum));
}

// Replaces scores by exp(score - largest) and returns their sum, which is NaN if a score is
// infinite or NaN: maxima and Exp may lose it. `count` is padded to whole vectors with kHidden.
float Exponentiate(float* scores, int64_t count) {
  const F32 tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  auto largest = hn::Set(tag, kHidden);
  for (int64_t i = 0; i < count; i += lanes) {
    largest = hn::Max(largest, hn::LoadU(tag, scores + i));
  }
  largest = hn::MaxOfLanes(tag, largest);
  auto sum = hn::Zero(tag);
  for (int64_t i = 0; i < count; i += lanes) {
    const auto score = hn::LoadU(tag, scores + i);
    const auto visible = hn::Gt(score, hn::Set(tag, kHidden));
    const auto weight = hn::IfThenElseZero(visible, hn::Exp(tag, hn::Sub(score, largest)));
    hn::StoreU(weight, tag, scores + i);
    sum = hn::Add(sum, hn::MulAdd(score, hn::Zero(tag), weight));
  }
  return hn::GetLane(hn::SumOfLanes(tag, sum));
}

// out = the average of values 0..last, by weight.
void AverageValues(const float* values, int64_t stride, const float* weights, int64_t last,
                   float inverse, int64_t padded_size, float* out) {
  const F32 tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  for (int64_t d = 0; d < padded_size; d += lanes) {
    auto sum = hn::Zero(tag);
    for (int64_t i = 0; i <= last; ++i) {
      sum = hn::MulAdd(hn::Set(tag, weights[i]), hn::LoadU(tag, values + i * stride + d), sum);
    }
    hn::StoreU(hn::Mul(sum, hn::Set(tag, inverse)), tag, out + d);
  }
}

// One query of a kv head over `keys`, those of its block's positions up to `position`.
void AttendQuery(const BlockCache& cache, const float* keys, const uint8_t* mask, int64_t position,
                 const float* query, float* out) {
  HWY_ALIGN float scores[kMaxBlockPositions];
  HWY_ALIGN float result[kMaxHeadSize];
  const int64_t padded = PaddedToVectors(cache.head_size);
  const float scale = 1 / std::sqrt(static_cast<float>(cache.head_size));
  for (int64_t i = 0; i <= position; ++i) {
    const bool visible = mask == nullptr || mask[i] != 0;
    scores[i] = visible ? scale * Dot(query, keys + i * 2 * padded, padded) : kHidden;
  }
  const int64_t padded_count = PaddedToVectors(position + 1);
  std::fill(scores + position + 1, scores + padded_count, kHidden);
  const float sum = Exponentiate(scores, padded_count);
  AverageValues(keys + padded, 2 * padded, scores, position, sum == 0 ? 0 : 1 / sum, padded,
                result);
  std::copy_n(result, cache.head_size, out);
}

// One kv head of one block, and all heads that read it.
void AttendHead(const BlockCache& cache, const HeadLayout& layout, const RotaryTable& rotary,
                const BlockStep& step, int64_t block, int64_t kv_head, const float* qkv,
                float* out) {
  HWY_ALIGN float query[kMaxHeadSize];
  const int64_t size = cache.head_size;
  const int64_t padded = PaddedToVectors(size);
  const int64_t group = layout.GroupSize();
  const uint8_t* mask =
      step.key_mask == nullptr ? nullptr : step.key_mask + block * cache.positions;
  float* keys = cache.memory + block * cache.BlockFloats() + kv_head * cache.positions * 2 * padded;
  for (int64_t row = 0; row < step.count; ++row) {
    const int64_t position = step.first + row;
    const float* x = qkv + (block * step.count + row) * layout.width;
    float* key = keys + position * 2 * padded;
    CopyRotated(x + layout.Key(kv_head), size, rotary, step.rotary_positions[position], key);
    std::copy_n(x + layout.Value(kv_head), size, key + padded);
    std::fill(key + padded + size, key + 2 * padded, 0.0f);
    const int64_t wanted = row - (step.count - step.wanted);
    if (wanted < 0) continue;
    float* out_row = out + (block * step.wanted + wanted) * layout.OutputWidth();
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      CopyRotated(x + layout.Query(head), size, rotary, step.rotary_positions[position], query);
      AttendQuery(cache, keys, mask, position, query, out_row + head * size);
    }
  }
}

void AttendBlocks(const BlockCache& cache, const HeadLayout& layout, const RotaryTable& rotary,
                  const BlockStep& step, int64_t begin, int64_t end, const float* qkv, float* out) {
  for (int64_t block = begin; block < end; ++block) {
    for (int64_t kv_head = 0; kv_head < cache.kv_heads; ++kv_head) {
      AttendHead(cache, layout, rotary, step, block, kv_head, qkv, out);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(AttendBlocks);
constexpr int64_t kMinNumbersPerThread = 1 << 14;

}  // namespace

int64_t BlockCache::BlockFloats() const {
  return kv_heads * positions * 2 * PaddedToVectors(head_size);
}

void AttendInBlock(const BlockCache& cache, const HeadLayout& layout, const RotaryTable& rotary,
                   const BlockStep& step, const float* qkv, float* out) {
  const auto attend_blocks = HWY_DYNAMIC_DISPATCH(AttendBlocks);
  const int64_t block_numbers = layout.OutputWidth() * step.count;
  ParallelFor(step.blocks, kMinNumbersPerThread / block_numbers + 1,
              [&](int64_t begin, int64_t end) {
                attend_blocks(cache, layout, rotary, step, begin, end, qkv, out);
              });
}

}  // namespace blockformer
#endif  // HWY_ONCE
