#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/parallel.h"

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#ifndef BLOCKFORMER_KERNELS_ATTENTION_CONSTANTS_
#define BLOCKFORMER_KERNELS_ATTENTION_CONSTANTS_
namespace blockformer {
inline constexpr int64_t kMaxPageSize = 128;
inline constexpr float kNotVisible = -1e30f;  // far below any score, and finite
}  // namespace blockformer
#endif

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// A running softmax over pages (Milakov and Gimelshein, arXiv 1805.02867): sums are relative to the
// largest score so far and are rescaled when it grows.
struct RunningSoftmax {
  float largest = kNotVisible;
  float sum = 0;
};

// scores[i] = scale * query . key i for the positions of one page.
template <class Tag>
void ScorePage(Tag tag, const float* query, const float* keys, const KvPages& cache, float scale,
               float* scores) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  for (int64_t i = 0; i < cache.page_size; i += lanes) {
    auto sums = hn::Zero(tag);
    for (int64_t d = 0; d < cache.head_size; ++d) {
      sums =
          hn::MulAdd(hn::Set(tag, query[d]), hn::LoadU(tag, keys + d * cache.page_size + i), sums);
    }
    hn::StoreU(hn::Mul(sums, hn::Set(tag, scale)), tag, scores + i);
  }
}

// Replaces scores by exp(score - largest) and returns the factor for what was summed before.
template <class Tag>
float ExponentiatePage(Tag tag, int64_t page_size, float* scores, RunningSoftmax* softmax) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  auto maxima = hn::Set(tag, softmax->largest);
  for (int64_t i = 0; i < page_size; i += lanes) {
    maxima = hn::Max(maxima, hn::LoadU(tag, scores + i));
  }
  const float largest = hn::GetLane(hn::MaxOfLanes(tag, maxima));
  const float rescale = std::exp(softmax->largest - largest);
  auto sums = hn::Zero(tag);
  for (int64_t i = 0; i < page_size; i += lanes) {
    const auto score = hn::LoadU(tag, scores + i);
    const auto visible = hn::Gt(score, hn::Set(tag, kNotVisible));
    const auto weight =
        hn::IfThenElseZero(visible, hn::Exp(tag, hn::Sub(score, hn::Set(tag, largest))));
    hn::StoreU(weight, tag, scores + i);
    sums = hn::Add(sums, weight);
  }
  softmax->sum = softmax->sum * rescale + hn::GetLane(hn::SumOfLanes(tag, sums));
  softmax->largest = largest;
  return rescale;
}

// result = result * rescale + weights . values, over `count` positions of one page.
template <class Tag>
void AddValues(Tag tag, const float* weights, const float* values, int64_t count,
               const KvPages& cache, float rescale, float* result) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  for (int64_t d = 0; d < cache.padded_head_size; d += lanes) {
    auto sums = hn::Mul(hn::LoadU(tag, result + d), hn::Set(tag, rescale));
    for (int64_t i = 0; i < count; ++i) {
      sums = hn::MulAdd(hn::Set(tag, weights[i]),
                        hn::LoadU(tag, values + i * cache.padded_head_size + d), sums);
    }
    hn::StoreU(sums, tag, result + d);
  }
}

// `bias` holds what is added to the score of each key, from position 0 on; null for nothing.
template <class Tag>
void AttendWith(Tag tag, const KvPages& cache, const AttentionRow& row, int64_t head,
                const float* query, float scale, const float* bias, float* out) {
  HWY_ALIGN float scores[kMaxPageSize];
  HWY_ALIGN float result[kMaxHeadSize] = {};
  RunningSoftmax softmax;
  for (int64_t first = 0; first <= row.position; first += cache.page_size) {
    const int64_t page = row.pages[first / cache.page_size];
    const int64_t count = std::min(cache.page_size, row.position + 1 - first);
    ScorePage(tag, query, cache.Keys(page, head), cache, scale, scores);
    if (bias != nullptr) {
      for (int64_t i = 0; i < count; ++i) scores[i] += bias[first + i];
    }
    for (int64_t i = count; i < cache.page_size; ++i) scores[i] = kNotVisible;
    if (row.key_mask != nullptr) {
      for (int64_t i = 0; i < count; ++i) {
        if (row.key_mask[first + i] == 0) scores[i] = kNotVisible;
      }
    }
    const float rescale = ExponentiatePage(tag, cache.page_size, scores, &softmax);
    AddValues(tag, scores, cache.Values(page, head), count, cache, rescale, result);
  }
  // A row that sees no key at all gets zeros.
  const float inverse = softmax.sum > 0 ? 1.0f / softmax.sum : 0.0f;
  for (int64_t d = 0; d < cache.head_size; ++d) out[d] = result[d] * inverse;
}

void AttendHead(const KvPages& cache, const AttentionRow& row, int64_t head, const float* query,
                float scale, const float* bias, float* out) {
  if (cache.page_size % 16 == 0) {
    AttendWith(hn::CappedTag<float, 16>(), cache, row, head, query, scale, bias, out);
  } else {
    AttendWith(hn::CappedTag<float, 8>(), cache, row, head, query, scale, bias, out);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(AttendHead);
constexpr int64_t kVectorFloats = 16;  // the widest vector in use
constexpr int64_t kMinOperationsPerThread = 1 << 15;

// Writes one head's key, and its value behind that, into the cache.
void StoreHead(const KvPages& cache, const AttentionRow& row, int64_t head, const float* key) {
  const int64_t page = row.pages[row.position / cache.page_size];
  const int64_t slot = row.position % cache.page_size;
  float* keys = cache.Keys(page, head);
  for (int64_t d = 0; d < cache.head_size; ++d) keys[d * cache.page_size + slot] = key[d];
  std::memcpy(cache.Values(page, head) + slot * cache.padded_head_size, key + cache.head_size,
              static_cast<size_t>(cache.head_size) * sizeof(float));
}

void StoreRow(const KvPages& cache, const RotaryTable* rotary, const AttentionRow& row,
              float* qkv) {
  for (int64_t head = 0; head < cache.num_heads; ++head) {
    float* query = qkv + head * 3 * cache.head_size;
    float* key = query + cache.head_size;
    if (rotary != nullptr) {
      Rotate(*rotary, row.rotary_position, query);
      Rotate(*rotary, row.rotary_position, key);
    }
    StoreHead(cache, row, head, key);
  }
}

// What `rule` adds to the scores of a row's keys, from position 0 on.
const float* BiasOf(const AttentionRule& rule, const AttentionRow& row, int64_t head) {
  if (rule.bias == nullptr) return nullptr;
  return rule.bias + (head + 1) * rule.bias_positions - 1 - row.position;
}

bool IsPadding(const AttentionRow& row) {
  return row.key_mask != nullptr && row.key_mask[row.position] == 0 && !row.attends_if_masked;
}

}  // namespace

int64_t PaddedHeadSize(int64_t head_size) {
  return (head_size + kVectorFloats - 1) / kVectorFloats * kVectorFloats;
}

AttentionRule ScaledAttention(int64_t head_size) {
  return {3 * head_size, 1.0f / std::sqrt(static_cast<float>(head_size)), nullptr, 0};
}

void StoreKeysAndValues(const KvPages& cache, const RotaryTable* rotary, const AttentionRow* rows,
                        int64_t num_rows, float* qkv) {
  const int64_t width = cache.num_heads * 3 * cache.head_size;
  ParallelFor(num_rows, kMinOperationsPerThread / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) StoreRow(cache, rotary, rows[i], qkv + i * width);
  });
}

void StoreKeysAndValues(const KvPages& cache, const AttentionRow* rows, int64_t num_rows,
                        const float* kv) {
  const int64_t width = cache.num_heads * 2 * cache.head_size;
  ParallelFor(num_rows, kMinOperationsPerThread / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t head = 0; head < cache.num_heads; ++head) {
        StoreHead(cache, rows[i], head, kv + i * width + head * 2 * cache.head_size);
      }
    }
  });
}

void Attend(const KvPages& cache, const AttentionRule& rule, const AttentionRow* rows,
            int64_t num_rows, const float* queries, float* out) {
  const auto attend_head = HWY_DYNAMIC_DISPATCH(AttendHead);
  int64_t most_keys = 1;
  for (int64_t i = 0; i < num_rows; ++i) most_keys = std::max(most_keys, rows[i].position + 1);
  // Head by head, so that neighbouring rows of one sequence find its keys in the cache.
  const int64_t grain = kMinOperationsPerThread / (most_keys * cache.head_size) + 1;
  ParallelFor(num_rows * cache.num_heads, grain, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = item / num_rows;
      const int64_t index = item % num_rows;
      const AttentionRow& row = rows[index];
      float* target = out + (index * cache.num_heads + head) * cache.head_size;
      if (IsPadding(row)) {
        std::fill_n(target, cache.head_size, 0.0f);
        continue;
      }
      const float* query = queries + (index * cache.num_heads + head) * rule.query_stride;
      attend_head(cache, row, head, query, rule.scale, BiasOf(rule, row, head), target);
    }
  });
}

}  // namespace blockformer
#endif  // HWY_ONCE
