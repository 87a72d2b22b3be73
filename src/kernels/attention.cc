#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.h"

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/cache_control.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#ifndef BLOCKFORMER_KERNELS_ATTENTION_TYPES_
#define BLOCKFORMER_KERNELS_ATTENTION_TYPES_
namespace blockformer {

inline constexpr int64_t kMaxPageSize = 128;
inline constexpr float kNotVisible = -1e30f;  // far below any score, and finite
// Queries that share the work of loading and converting keys and values.
inline constexpr int64_t kMaxGroup = 4;
// Sums of a dot product that are built side by side, since each addition waits for the one before.
inline constexpr int kChains = 4;

// Rows of one sequence whose positions do not descend, and one of their heads.
struct QueryGroup {
  const AttentionRow* rows;
  int64_t size;  // 1 to kMaxGroup
  int64_t head;
  const float* queries;  // of the first row; the others' are `query_stride` apart
  int64_t query_stride;
  float* out;  // likewise
  int64_t out_stride;
  float scale;
  const float* bias;  // of distance 0; that of distance d lies d before it. Null for none
};

}  // namespace blockformer
#endif

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// A running softmax over pages (Milakov and Gimelshein, arXiv 1805.02867): sums are relative to the
// largest score so far and are rescaled when it grows.
struct QueryState {
  HWY_ALIGN float scores[kMaxPageSize];
  HWY_ALIGN float result[kMaxHeadSize];
  float largest;
  float sum;
  float rescale;  // what the page at hand does to the sums before it
};

template <NumberType kType, class Tag>
hn::Vec<Tag> LoadNumbers(Tag tag, const std::byte* numbers, int64_t index) {
  if constexpr (kType == NumberType::kF32) {
    return hn::LoadU(tag, reinterpret_cast<const float*>(numbers) + index);
  } else if constexpr (kType == NumberType::kF16) {
    const hn::Rebind<hwy::float16_t, Tag> halves;
    const auto* source = reinterpret_cast<const hwy::float16_t*>(numbers) + index;
    return hn::PromoteTo(tag, hn::LoadU(halves, source));
  } else {
    const hn::Rebind<int8_t, Tag> bytes;
    const hn::Rebind<int32_t, Tag> integers;
    const auto* source = reinterpret_cast<const int8_t*>(numbers) + index;
    return hn::ConvertTo(tag, hn::PromoteTo(integers, hn::LoadU(bytes, source)));
  }
}

// scores[i] = scale * query . key i for the positions of a page. Whatever kGroup is, a query's
// sums are built in the same order.
template <NumberType kType, int kGroup, class Tag>
void ScorePage(Tag tag, const KvPages& cache, const std::byte* head, const float* queries,
               int64_t query_stride, float scale, QueryState* states) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t whole = cache.head_size / kChains * kChains;
  const float* scales = reinterpret_cast<const float*>(head + cache.ScalesOffset());
  for (int64_t i = 0; i < cache.page_size; i += lanes) {
    hn::Vec<Tag> sums[kGroup][kChains];
#pragma GCC unroll 4
    for (int q = 0; q < kGroup; ++q) {
#pragma GCC unroll 4
      for (int c = 0; c < kChains; ++c) sums[q][c] = hn::Zero(tag);
    }
    for (int64_t d = 0; d < whole; d += kChains) {
#pragma GCC unroll 4
      for (int c = 0; c < kChains; ++c) {
        const auto keys = LoadNumbers<kType>(tag, head, (d + c) * cache.page_size + i);
#pragma GCC unroll 4
        for (int q = 0; q < kGroup; ++q) {
          const auto query = hn::Set(tag, queries[q * query_stride + d + c]);
          sums[q][c] = hn::MulAdd(query, keys, sums[q][c]);
        }
      }
    }
    for (int64_t d = whole; d < cache.head_size; ++d) {
      const auto keys = LoadNumbers<kType>(tag, head, d * cache.page_size + i);
#pragma GCC unroll 4
      for (int q = 0; q < kGroup; ++q) {
        sums[q][0] = hn::MulAdd(hn::Set(tag, queries[q * query_stride + d]), keys, sums[q][0]);
      }
    }
    auto factors = hn::Set(tag, scale);
    if constexpr (kType == NumberType::kInt8) {
      factors = hn::Mul(factors, hn::LoadU(tag, scales + i));
    }
#pragma GCC unroll 4
    for (int q = 0; q < kGroup; ++q) {
      const auto sum =
          hn::Add(hn::Add(sums[q][0], sums[q][1]), hn::Add(sums[q][2], sums[q][3]));
      hn::StoreU(hn::Mul(sum, factors), tag, states[q].scores + i);
    }
  }
}

// Biases and hides scores of the page that begins at position `first`.
void MaskPage(const KvPages& cache, const AttentionRow& row, const float* bias, int64_t first,
              float* scores) {
  const int64_t count = std::min(cache.page_size, row.position + 1 - first);
  if (bias != nullptr) {
    for (int64_t i = 0; i < count; ++i) scores[i] += bias[first + i - row.position];
  }
  for (int64_t i = count; i < cache.page_size; ++i) scores[i] = kNotVisible;
  if (row.key_mask == nullptr) return;
  for (int64_t i = 0; i < count; ++i) {
    if (row.key_mask[first + i] == 0) scores[i] = kNotVisible;
  }
}

// Replaces scores by exp(score - largest).
template <class Tag>
void ExponentiatePage(Tag tag, int64_t page_size, QueryState* state) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  float* scores = state->scores;
  auto maxima = hn::Set(tag, state->largest);
  for (int64_t i = 0; i < page_size; i += lanes) {
    maxima = hn::Max(maxima, hn::LoadU(tag, scores + i));
  }
  const float largest = hn::GetLane(hn::MaxOfLanes(tag, maxima));
  state->rescale = largest == state->largest ? 1 : std::exp(state->largest - largest);
  auto sums = hn::Zero(tag);
  for (int64_t i = 0; i < page_size; i += lanes) {
    const auto score = hn::LoadU(tag, scores + i);
    const auto visible = hn::Gt(score, hn::Set(tag, kNotVisible));
    const auto weight =
        hn::IfThenElseZero(visible, hn::Exp(tag, hn::Sub(score, hn::Set(tag, largest))));
    hn::StoreU(weight, tag, scores + i);
    sums = hn::Add(sums, weight);
  }
  state->sum = state->sum * state->rescale + hn::GetLane(hn::SumOfLanes(tag, sums));
  state->largest = largest;
}

// result = result * rescale + weights . values, over `count` positions of a page, for kVectors
// vectors of dimensions from `d` on.
template <NumberType kType, int kGroup, int kVectors, class Tag>
void AddDimensions(Tag tag, const KvPages& cache, const std::byte* values, int64_t d,
                   int64_t count, QueryState* states) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t stride = cache.PaddedHeadSize();
  hn::Vec<Tag> sums[kGroup][kVectors];
#pragma GCC unroll 4
  for (int q = 0; q < kGroup; ++q) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sums[q][v] = hn::Mul(hn::LoadU(tag, states[q].result + d + v * lanes),
                           hn::Set(tag, states[q].rescale));
    }
  }
  for (int64_t i = 0; i < count; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const auto numbers = LoadNumbers<kType>(tag, values, i * stride + d + v * lanes);
#pragma GCC unroll 4
      for (int q = 0; q < kGroup; ++q) {
        sums[q][v] = hn::MulAdd(hn::Set(tag, states[q].scores[i]), numbers, sums[q][v]);
      }
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < kGroup; ++q) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(sums[q][v], tag, states[q].result + d + v * lanes);
    }
  }
}

template <NumberType kType, int kGroup, class Tag>
void AddValues(Tag tag, const KvPages& cache, const std::byte* head, int64_t count,
               QueryState* states) {
  if constexpr (kType == NumberType::kInt8) {
    const float* scales =
        reinterpret_cast<const float*>(head + cache.ScalesOffset()) + cache.page_size;
    for (int q = 0; q < kGroup; ++q) {
      for (int64_t i = 0; i < count; ++i) states[q].scores[i] *= scales[i];
    }
  }
  const std::byte* values = head + cache.ValuesOffset();
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  int64_t d = 0;
  for (; d + 4 * lanes <= cache.PaddedHeadSize(); d += 4 * lanes) {
    AddDimensions<kType, kGroup, 4>(tag, cache, values, d, count, states);
  }
  for (; d < cache.PaddedHeadSize(); d += lanes) {
    AddDimensions<kType, kGroup, 1>(tag, cache, values, d, count, states);
  }
}

// One page, for the last kGroup queries of a group: those that see it.
template <NumberType kType, int kGroup, class Tag>
void AttendToPage(Tag tag, const KvPages& cache, const QueryGroup& group, int64_t first,
                  QueryState* states) {
  const int64_t skipped = group.size - kGroup;
  const AttentionRow* rows = group.rows + skipped;
  const std::byte* head = cache.Head(rows[0].pages[first / cache.page_size], group.head);
  states += skipped;
  ScorePage<kType, kGroup>(tag, cache, head, group.queries + skipped * group.query_stride,
                           group.query_stride, group.scale, states);
  for (int q = 0; q < kGroup; ++q) {
    MaskPage(cache, rows[q], group.bias, first, states[q].scores);
    ExponentiatePage(tag, cache.page_size, &states[q]);
  }
  const int64_t count = std::min(cache.page_size, rows[kGroup - 1].position + 1 - first);
  AddValues<kType, kGroup>(tag, cache, head, count, states);
}

void PrefetchHead(const std::byte* head, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) hwy::Prefetch(head + i);
}

template <NumberType kType, class Tag>
void AttendWith(Tag tag, const KvPages& cache, const QueryGroup& group) {
  QueryState states[kMaxGroup];
  for (int64_t q = 0; q < group.size; ++q) {
    states[q].largest = kNotVisible;
    states[q].sum = 0;
    std::fill_n(states[q].result, cache.PaddedHeadSize(), 0.0f);
  }
  const int64_t last = group.rows[group.size - 1].position;
  int64_t begin = 0;  // the first query that sees the page
  for (int64_t first = 0; first <= last; first += cache.page_size) {
    if (first + cache.page_size <= last) {
      const int64_t next = group.rows[0].pages[first / cache.page_size + 1];
      PrefetchHead(cache.Head(next, group.head), cache.HeadBytes());
    }
    while (group.rows[begin].position < first) ++begin;
    switch (group.size - begin) {
      case 1:
        AttendToPage<kType, 1>(tag, cache, group, first, states);
        break;
      case 2:
        AttendToPage<kType, 2>(tag, cache, group, first, states);
        break;
      case 3:
        AttendToPage<kType, 3>(tag, cache, group, first, states);
        break;
      default:
        AttendToPage<kType, 4>(tag, cache, group, first, states);
    }
  }
  for (int64_t q = 0; q < group.size; ++q) {
    // A row that sees no key at all gets zeros.
    const float inverse = states[q].sum > 0 ? 1 / states[q].sum : 0;
    float* out = group.out + q * group.out_stride;
    for (int64_t d = 0; d < cache.head_size; ++d) out[d] = states[q].result[d] * inverse;
  }
}

template <NumberType kType>
void AttendTyped(const KvPages& cache, const QueryGroup& group) {
  if (cache.page_size % 16 == 0) {
    AttendWith<kType>(hn::CappedTag<float, 16>(), cache, group);
  } else {
    AttendWith<kType>(hn::CappedTag<float, 8>(), cache, group);
  }
}

void AttendGroup(const KvPages& cache, const QueryGroup& group) {
  switch (cache.type) {
    case NumberType::kF16:
      return AttendTyped<NumberType::kF16>(cache, group);
    case NumberType::kInt8:
      return AttendTyped<NumberType::kInt8>(cache, group);
    default:
      return AttendTyped<NumberType::kF32>(cache, group);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(AttendGroup);
constexpr int64_t kMinOperationsPerThread = 1 << 15;

bool IsPadding(const AttentionRow& row) {
  return row.key_mask != nullptr && row.key_mask[row.position] == 0 && !row.attends_if_masked;
}

// Consecutive rows, and the keys seen in all groups before them.
struct RowGroup {
  int64_t first;
  int64_t size;
  int64_t keys_before;
};

// Groups rows of the same sequence with ascending positions. Rows of padding stand in no group.
std::vector<RowGroup> GroupRows(const AttentionRow* rows, int64_t num_rows, int64_t* total_keys) {
  std::vector<RowGroup> groups;
  int64_t keys = 0;
  for (int64_t i = 0; i < num_rows; ++i) {
    if (IsPadding(rows[i])) continue;
    const bool joins = !groups.empty() && groups.back().size < kMaxGroup &&
                       groups.back().first + groups.back().size == i &&
                       rows[i].pages == rows[i - 1].pages &&
                       rows[i].position >= rows[i - 1].position;
    if (joins) {
      ++groups.back().size;
    } else {
      groups.push_back({i, 1, keys});
    }
    keys += rows[i].position + 1;
  }
  *total_keys = keys;
  return groups;
}

}  // namespace

AttentionRule ScaledAttention(int64_t head_size) {
  return {3 * head_size, 1.0f / std::sqrt(static_cast<float>(head_size)), nullptr, 0};
}

void Attend(const KvPages& cache, const AttentionRule& rule, const AttentionRow* rows,
            int64_t num_rows, const float* queries, float* out) {
  const auto attend_group = HWY_DYNAMIC_DISPATCH(AttendGroup);
  const int64_t heads = cache.num_heads;
  const int64_t width = heads * cache.head_size;
  for (int64_t i = 0; i < num_rows; ++i) {
    if (IsPadding(rows[i])) std::fill_n(out + i * width, width, 0.0f);
  }
  int64_t total_keys = 0;
  const std::vector<RowGroup> groups = GroupRows(rows, num_rows, &total_keys);
  const auto attend = [&](const RowGroup& group, int64_t head) {
    const int64_t row = group.first;
    const float* bias = rule.bias == nullptr ? nullptr : rule.bias + (head + 1) * rule.bias_positions - 1;
    attend_group(cache, {rows + row, group.size, head,
                         queries + (row * heads + head) * rule.query_stride,
                         heads * rule.query_stride, out + row * width + head * cache.head_size,
                         width, rule.scale, bias});
  };
  // Sequences of different lengths are shared out by the keys that they see. A thread takes the
  // heads whose work begins in its range.
  ParallelFor(total_keys * heads, kMinOperationsPerThread / cache.head_size + 1,
              [&](int64_t begin, int64_t end) {
                const auto starts_before = [heads](const RowGroup& group, int64_t work) {
                  return group.keys_before * heads < work;
                };
                auto group = std::lower_bound(groups.begin(), groups.end(), begin, starts_before);
                if (group != groups.begin()) --group;  // its later heads may begin in the range
                for (; group != groups.end() && group->keys_before * heads < end; ++group) {
                  const int64_t next = group + 1 == groups.end() ? total_keys : (group + 1)->keys_before;
                  const int64_t keys = next - group->keys_before;
                  for (int64_t head = 0; head < heads; ++head) {
                    const int64_t start = group->keys_before * heads + head * keys;
                    if (start >= begin && start < end) attend(*group, head);
                  }
                }
              });
}

}  // namespace blockformer
#endif  // HWY_ONCE
