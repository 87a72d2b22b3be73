// Attention of queries to the keys of a paged cache. Up to four queries share each key and value
// that is loaded and converted. Their softmax runs over the pages one after the other, so that the
// scores of a page stay in the first cache; the heads of all queries are shared out by the keys
// that they see.
#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/parallel.h"
#include "kernels/attention_plan.h"
#include "kernels/product_plan.h"

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
// The score of hidden keys: below all others, and finite.
inline constexpr float kNotVisible = std::numeric_limits<float>::lowest();
// Sums of a dot product that are built side by side, since each addition waits for the one before.
inline constexpr int kChains = 4;

// Queries that share keys and values: of rows of one sequence whose positions do not descend, or of
// one row's heads that read the same kv head; and that for some kv heads.
struct QueryGroup {
  const AttentionRow* rows;  // of each query
  int64_t size;              // 1 to kMaxQueryGroup
  int64_t first_head;        // of the kv heads
  int64_t num_heads;
  const float* queries;  // the first one's, for the first kv head
  int64_t query_stride;  // to the next query
  int64_t head_stride;   // to those of the next kv head
  float* out;            // the first query's, for the first kv head
  int64_t out_stride;
  int64_t out_head_stride;
  float scale;
  // The first head's bias at distance 0; its bias at distance d lies d numbers before that. Null
  // for none.
  const float* bias;
  int64_t bias_stride;  // to the next head's
};

// A running softmax over pages (Milakov and Gimelshein, arXiv 1805.02867): sums are relative to the
// largest score so far and are rescaled when it grows.
struct QueryState {
  float* result;  // [padded head size]
  float largest;
  float sum;
  float rescale;                           // what the page at hand does to the sums before it
  alignas(64) float scores[kMaxPageSize];  // of the page at hand, then its weights
};

// One head of a page, and the one that follows it in the order of computation. What the next one
// holds at an offset is fetched while this one is computed at that offset, so that arithmetic and
// memory work at once.
struct HeadPage {
  const std::byte* data;
  const std::byte* next;
};

}  // namespace blockformer
#endif

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <NumberType kType>
constexpr int64_t ElementBytes() {
  return kType == NumberType::kF32 ? 4 : kType == NumberType::kF16 ? 2 : 1;
}

// Where x86 processors lack F16C, Highway's conversion knows no infinity and no NaN: it makes of
// them numbers that no half is as large as, from 2^16 on.
template <class Tag, class Halves>
hn::Vec<Tag> WidenHalves(Tag tag, Halves halves) {
  const auto numbers = hn::PromoteTo(tag, halves);
#if HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SCALAR
  const auto infinity = hn::Set(tag, std::numeric_limits<float>::infinity());
  const auto is_finite = hn::Lt(hn::Abs(numbers), hn::Set(tag, 65536.0f));
  return hn::IfThenElse(is_finite, numbers, hn::Mul(numbers, infinity));
#else
  return numbers;
#endif
}

template <NumberType kType, class Tag>
hn::Vec<Tag> LoadNumbers(Tag tag, const std::byte* numbers, int64_t index) {
  if constexpr (kType == NumberType::kF32) {
    return hn::LoadU(tag, reinterpret_cast<const float*>(numbers) + index);
  } else if constexpr (kType == NumberType::kF16) {
    const hn::Rebind<hwy::float16_t, Tag> halves;
    const auto* source = reinterpret_cast<const hwy::float16_t*>(numbers) + index;
    return WidenHalves(tag, hn::LoadU(halves, source));
  } else {
    const hn::Rebind<int8_t, Tag> bytes;
    const hn::Rebind<int32_t, Tag> integers;
    const auto* source = reinterpret_cast<const int8_t*>(numbers) + index;
    return hn::ConvertTo(tag, hn::PromoteTo(integers, hn::LoadU(bytes, source)));
  }
}

#if HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_AVX2 || \
    HWY_TARGET == HWY_SCALAR
constexpr int kMaxSums = 12;  // of 16 registers
#else
constexpr int kMaxSums = 24;  // of 32
#endif

// How many of kChains are built in one pass over the dimensions: as many as the registers hold.
template <int kSumsOfChain>
constexpr int PassChains() {
  return kSumsOfChain * 4 <= kMaxSums ? 4 : kSumsOfChain * 2 <= kMaxSums ? 2 : 1;
}
static_assert(kChains == 4);

// scores[i] = scale * query . key i for kVectors vectors of positions of a page from `i` on.
// Whatever kGroup and kVectors are, a query's sums are built in the same order.
template <NumberType kType, int kGroup, int kVectors, class Tag>
void ScorePositions(Tag tag, const KvPages& cache, const HeadPage& page, const float* queries,
                    int64_t query_stride, float scale, int64_t i, QueryState* states) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t whole = cache.head_size / kChains * kChains;
  const float* scales = reinterpret_cast<const float*>(page.data + cache.ScalesOffset());
  constexpr int kPass = PassChains<kGroup * kVectors>();
  hn::Vec<Tag> total[kGroup][kVectors];  // of the passes so far
  hn::Vec<Tag> halves[kGroup][kVectors];
#pragma GCC unroll 4
  for (int pass = 0; pass < kChains; pass += kPass) {
    hn::Vec<Tag> sums[kGroup][kVectors][kPass];
#pragma GCC unroll 4
    for (int q = 0; q < kGroup; ++q) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 4
        for (int c = 0; c < kPass; ++c) sums[q][v][c] = hn::Zero(tag);
      }
    }
    const auto add = [&](int64_t d, int c) HWY_ATTR {
      hn::Vec<Tag> keys[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const int64_t index = d * cache.page_size + i + v * lanes;
        keys[v] = LoadNumbers<kType>(tag, page.data, index);
        if (kGroup == 1) hwy::Prefetch(page.next + index * ElementBytes<kType>());
      }
#pragma GCC unroll 4
      for (int q = 0; q < kGroup; ++q) {
        const auto query = hn::Set(tag, queries[q * query_stride + d]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          sums[q][v][c] = hn::MulAdd(query, keys[v], sums[q][v][c]);
      }
    };
    for (int64_t d = pass; d < whole; d += kChains) {
#pragma GCC unroll 4
      for (int c = 0; c < kPass; ++c) add(d + c, c);
    }
    if (pass == 0) {
      for (int64_t d = whole; d < cache.head_size; ++d) add(d, 0);
    }
    // (0 + 1) + (2 + 3), however many there are in a pass.
#pragma GCC unroll 4
    for (int q = 0; q < kGroup; ++q) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        if constexpr (kPass == 4) {
          total[q][v] =
              hn::Add(hn::Add(sums[q][v][0], sums[q][v][1]), hn::Add(sums[q][v][2], sums[q][v][3]));
        } else if constexpr (kPass == 2) {
          const auto pair = hn::Add(sums[q][v][0], sums[q][v][1]);
          total[q][v] = pass == 0 ? pair : hn::Add(total[q][v], pair);
        } else {
          if (pass == 0) total[q][v] = sums[q][v][0];
          if (pass == 1) total[q][v] = hn::Add(total[q][v], sums[q][v][0]);
          if (pass == 2) halves[q][v] = sums[q][v][0];
          if (pass == 3) {
            total[q][v] = hn::Add(total[q][v], hn::Add(halves[q][v], sums[q][v][0]));
          }
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    auto factors = hn::Set(tag, scale);
    if constexpr (kType == NumberType::kInt8) {
      factors = hn::Mul(factors, hn::LoadU(tag, scales + i + v * lanes));
    }
#pragma GCC unroll 4
    for (int q = 0; q < kGroup; ++q) {
      hn::StoreU(hn::Mul(total[q][v], factors), tag, states[q].scores + i + v * lanes);
    }
  }
}

template <NumberType kType, int kGroup, class Tag>
void ScorePage(Tag tag, const KvPages& cache, const HeadPage& page, const float* queries,
               int64_t query_stride, float scale, QueryState* states) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  int64_t i = 0;
  for (; i + 2 * lanes <= cache.page_size; i += 2 * lanes) {
    ScorePositions<kType, kGroup, 2>(tag, cache, page, queries, query_stride, scale, i, states);
  }
  for (; i < cache.page_size; i += lanes) {
    ScorePositions<kType, kGroup, 1>(tag, cache, page, queries, query_stride, scale, i, states);
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

// Replaces scores by exp(score - largest). A score that is infinite or NaN makes the sum NaN:
// maxima and Exp may lose it.
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
    sums = hn::Add(sums, hn::MulAdd(score, hn::Zero(tag), weight));
  }
  state->sum = state->sum * state->rescale + hn::GetLane(hn::SumOfLanes(tag, sums));
  state->largest = largest;
}

// result = result * rescale + weights . values, over `count` positions of a page, for kVectors
// vectors of dimensions from `d` on.
template <NumberType kType, int kGroup, int kVectors, class Tag>
void AddDimensions(Tag tag, const KvPages& cache, const HeadPage& page, int64_t d, int64_t count,
                   QueryState* states) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t stride = cache.PaddedHeadSize();
  const std::byte* values = page.data + cache.ValuesOffset();
  const std::byte* next = page.next + cache.ValuesOffset();
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
      const int64_t index = i * stride + d + v * lanes;
      const auto numbers = LoadNumbers<kType>(tag, values, index);
      if (kGroup == 1) hwy::Prefetch(next + index * ElementBytes<kType>());
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
void AddValues(Tag tag, const KvPages& cache, const HeadPage& page, int64_t count,
               QueryState* states) {
  if constexpr (kType == NumberType::kInt8) {
    const float* scales =
        reinterpret_cast<const float*>(page.data + cache.ScalesOffset()) + cache.page_size;
    for (int q = 0; q < kGroup; ++q) {
      for (int64_t i = 0; i < count; ++i) states[q].scores[i] *= scales[i];
    }
  }
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  int64_t d = 0;
  constexpr int kVectors = kGroup * 4 <= kMaxSums ? 4 : 2;  // whose sums the registers hold
  for (; d + kVectors * lanes <= cache.PaddedHeadSize(); d += kVectors * lanes) {
    AddDimensions<kType, kGroup, kVectors>(tag, cache, page, d, count, states);
  }
  for (; d < cache.PaddedHeadSize(); d += lanes) {
    AddDimensions<kType, kGroup, 1>(tag, cache, page, d, count, states);
  }
}

// One head of one page, for the last kGroup queries of a group: those that see it. The states are
// those of the head.
template <NumberType kType, int kGroup, class Tag>
void AttendToPage(Tag tag, const KvPages& cache, const QueryGroup& group, int64_t head,
                  const HeadPage& page, int64_t first, QueryState* states) {
  const int64_t skipped = group.size - kGroup;
  const AttentionRow* rows = group.rows + skipped;
  const float* bias = group.bias == nullptr ? nullptr : group.bias + head * group.bias_stride;
  states += skipped;
  ScorePage<kType, kGroup>(tag, cache, page,
                           group.queries + skipped * group.query_stride + head * group.head_stride,
                           group.query_stride, group.scale, states);
  for (int q = 0; q < kGroup; ++q) {
    MaskPage(cache, rows[q], bias, first, states[q].scores);
    ExponentiatePage(tag, cache.page_size, &states[q]);
  }
  const int64_t count = std::min(cache.page_size, rows[kGroup - 1].position + 1 - first);
  AddValues<kType, kGroup>(tag, cache, page, count, states);
}

// All heads of one page, which lie side by side in memory.
template <NumberType kType, int kGroup, class Tag>
void AttendToHeads(Tag tag, const KvPages& cache, const QueryGroup& group, int64_t first,
                   QueryState* states) {
  const int32_t* pages = group.rows[0].pages + first / cache.page_size;
  const bool is_last = first + cache.page_size > group.rows[group.size - 1].position;
  for (int64_t head = 0; head < group.num_heads; ++head) {
    HeadPage page = {cache.Head(pages[0], group.first_head + head), nullptr};
    page.next = page.data + cache.HeadBytes();
    if (head + 1 == group.num_heads) {
      page.next = cache.Head(pages[is_last ? 0 : 1], group.first_head);
    }
    AttendToPage<kType, kGroup>(tag, cache, group, head, page, first,
                                states + head * kMaxQueryGroup);
  }
}

template <NumberType kType, class Tag>
void AttendWith(Tag tag, const KvPages& cache, const QueryGroup& group, QueryState* states) {
  for (int64_t i = 0; i < group.num_heads * kMaxQueryGroup; ++i) {
    states[i].largest = kNotVisible;
    states[i].sum = 0;
    std::fill_n(states[i].result, cache.PaddedHeadSize(), 0.0f);
  }
  const int64_t last = group.rows[group.size - 1].position;
  int64_t begin = 0;  // the first query that sees the page
  for (int64_t first = 0; first <= last; first += cache.page_size) {
    while (group.rows[begin].position < first) ++begin;
    switch (group.size - begin) {
      case 1:
        AttendToHeads<kType, 1>(tag, cache, group, first, states);
        break;
      case 2:
        AttendToHeads<kType, 2>(tag, cache, group, first, states);
        break;
      case 3:
        AttendToHeads<kType, 3>(tag, cache, group, first, states);
        break;
      default:
        AttendToHeads<kType, 4>(tag, cache, group, first, states);
    }
  }
  for (int64_t head = 0; head < group.num_heads; ++head) {
    for (int64_t q = 0; q < group.size; ++q) {
      const QueryState& state = states[head * kMaxQueryGroup + q];
      // A row that sees no key at all gets zeros. The sum may be NaN.
      const float inverse = state.sum == 0 ? 0 : 1 / state.sum;
      float* out = group.out + q * group.out_stride + head * group.out_head_stride;
      for (int64_t d = 0; d < cache.head_size; ++d) out[d] = state.result[d] * inverse;
    }
  }
}

template <NumberType kType>
void AttendTyped(const KvPages& cache, const QueryGroup& group, QueryState* states) {
  if (cache.page_size % 16 == 0) {
    AttendWith<kType>(hn::CappedTag<float, 16>(), cache, group, states);
  } else {
    AttendWith<kType>(hn::CappedTag<float, 8>(), cache, group, states);
  }
}

// `states` [num_heads, kMaxQueryGroup] is scratch memory.
void AttendGroup(const KvPages& cache, const QueryGroup& group, QueryState* states) {
  switch (cache.type) {
    case NumberType::kF16:
      return AttendTyped<NumberType::kF16>(cache, group, states);
    case NumberType::kInt8:
      return AttendTyped<NumberType::kInt8>(cache, group, states);
    default:
      return AttendTyped<NumberType::kF32>(cache, group, states);
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
constexpr int64_t kRangesPerThread = 8;

// Scratch memory of one thread for `heads` heads.
class Scratch {
 public:
  QueryState* Reserve(int64_t heads, int64_t padded_head_size) {
    const size_t count = heads * kMaxQueryGroup;
    if (states_.size() < count) states_.resize(count);
    results_.Reserve(static_cast<int64_t>(count) * padded_head_size *
                     static_cast<int64_t>(sizeof(float)));
    for (size_t i = 0; i < count; ++i) {
      states_[i].result = results_.As<float>() + static_cast<int64_t>(i) * padded_head_size;
    }
    return states_.data();
  }

 private:
  std::vector<QueryState> states_;
  AlignedBuffer results_;
};

// Where a group's queries lie from `first_head` on, and where their results are wanted.
QueryGroup Locate(const AttentionRule& rule, const QueryRange& queries, int64_t first_head,
                  const float* rows_of_heads, float* out) {
  const HeadLayout& layout = rule.layout;
  const int64_t per_row = layout.GroupSize();
  const int64_t width = layout.OutputWidth();
  const int64_t row = queries.first / per_row;
  const int64_t first_query = first_head * per_row + queries.first % per_row;
  QueryGroup group = {};
  group.size = queries.size;
  group.first_head = first_head;
  group.queries = rows_of_heads + row * layout.width + layout.Query(first_query);
  group.query_stride = per_row > 1 ? layout.head_size : layout.width;
  group.head_stride = layout.group_stride;
  group.out = out + row * width + first_query * layout.head_size;
  group.out_stride = per_row > 1 ? layout.head_size : width;
  group.out_head_stride = per_row * layout.head_size;
  group.scale = rule.scale;
  if (rule.bias != nullptr) {
    group.bias = rule.bias + (first_head + 1) * rule.bias_positions - 1;
    group.bias_stride = rule.bias_positions;
  }
  return group;
}

}  // namespace

AttentionRule ScaledAttention(const HeadLayout& layout) {
  return {layout, 1.0f / std::sqrt(static_cast<float>(layout.head_size)), nullptr, 0};
}

void Attend(const KvPages& cache, const AttentionRule& rule, const AttentionRow* rows,
            int64_t num_rows, const float* rows_of_heads, float* out) {
  const auto attend_group = HWY_DYNAMIC_DISPATCH(AttendGroup);
  const int64_t width = rule.layout.OutputWidth();
  for (int64_t i = 0; i < num_rows; ++i) {
    if (IsPadding(rows[i])) std::fill_n(out + i * width, width, 0.0f);
  }
  const AttentionPlan plan(rows, num_rows, rule.layout.GroupSize(), cache.kv_heads);
  const int64_t grain = kMinOperationsPerThread / cache.head_size + 1;
  const int64_t parts =
      std::clamp<int64_t>(plan.work() / grain, 1, kRangesPerThread * NumThreads());
  ParallelForEach(parts, 1, [&](int64_t part) {
    thread_local Scratch scratch;
    const PartRange range = PartOf(plan.work(), parts, part);
    plan.ForEachIn(range.begin, range.end,
                   [&](const QueryRange& queries, int64_t first_head, int64_t num_heads) {
                     QueryGroup group = Locate(rule, queries, first_head, rows_of_heads, out);
                     group.rows = plan.queries() + queries.first;
                     group.num_heads = num_heads;
                     attend_group(cache, group, scratch.Reserve(num_heads, cache.PaddedHeadSize()));
                   });
  });
}

}  // namespace blockformer
#endif  // HWY_ONCE
