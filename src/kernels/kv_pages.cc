#include "kernels/kv_pages.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/parallel.h"

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/kv_pages.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, 16>;

// x [count] to f16, rounded to nearest even.
void ToHalves(const float* x, int64_t count, uint16_t* out) {
  const F32 tag;
  const hn::Rebind<hwy::float16_t, F32> halves;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  auto* target = reinterpret_cast<hwy::float16_t*>(out);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::DemoteTo(halves, hn::LoadU(tag, x + i)), halves, target + i);
  }
  if (i == count) return;
  HWY_ALIGN float rest[16] = {};
  HWY_ALIGN hwy::float16_t half_rest[16];
  std::copy_n(x + i, count - i, rest);
  hn::StoreU(hn::DemoteTo(halves, hn::LoadU(tag, rest)), halves, half_rest);
  std::memcpy(target + i, half_rest, static_cast<size_t>(count - i) * sizeof(uint16_t));
}

float FromHalf(uint16_t half) {
  const hn::CappedTag<float, 1> tag;
  const hn::Rebind<hwy::float16_t, hn::CappedTag<float, 1>> halves;
  hwy::float16_t number;
  std::memcpy(&number, &half, sizeof(number));
  return hn::GetLane(hn::PromoteTo(tag, hn::LoadU(halves, &number)));
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(ToHalves);
HWY_EXPORT(FromHalf);
constexpr int64_t kMinNumbersPerThread = 1 << 15;

// Writes a key and the value behind it: numbers of type T, converted already.
template <typename T>
void Scatter(const KvPages& cache, std::byte* head, int64_t slot, const T* key, const T* value) {
  T* keys = reinterpret_cast<T*>(head);
  for (int64_t d = 0; d < cache.head_size; ++d) keys[d * cache.page_size + slot] = key[d];
  T* values = reinterpret_cast<T*>(head + cache.ValuesOffset());
  std::memcpy(values + slot * cache.PaddedHeadSize(), value,
              static_cast<size_t>(cache.head_size) * sizeof(T));
}

// Symmetric int8: returns the scale. A number that is not finite makes it NaN.
float ToBytes(const float* x, int64_t count, int8_t* out) {
  float largest = 0;
  float poison = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::abs(x[i]));
    poison += 0 * x[i];
  }
  const float inverse = 127 / std::max(largest, std::numeric_limits<float>::min() * 128);
  for (int64_t i = 0; i < count; ++i) {
    // Adding and subtracting 1.5 * 2^23 rounds to nearest even.
    constexpr float kRounder = 12582912.0F;
    const float rounded = (x[i] * inverse + kRounder) - kRounder;
    out[i] = static_cast<int8_t>(poison == 0 ? rounded : 0);
  }
  return 1 / inverse + poison;
}

void StoreHead(const KvPages& cache, const AttentionRow& row, int64_t head_index,
               const float* key) {
  const int64_t slot = row.position % cache.page_size;
  std::byte* head = cache.Head(row.pages[row.position / cache.page_size], head_index);
  const int64_t size = cache.head_size;
  if (cache.type == NumberType::kF32) return Scatter(cache, head, slot, key, key + size);
  if (cache.type == NumberType::kF16) {
    uint16_t halves[2 * kMaxHeadSize];
    HWY_DYNAMIC_DISPATCH(ToHalves)(key, 2 * size, halves);
    return Scatter(cache, head, slot, halves, halves + size);
  }
  int8_t bytes[2 * kMaxHeadSize];
  float* scales = reinterpret_cast<float*>(head + cache.ScalesOffset());
  scales[slot] = ToBytes(key, size, bytes);
  scales[cache.page_size + slot] = ToBytes(key + size, size, bytes + size);
  Scatter(cache, head, slot, bytes, bytes + size);
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

float ReadNumber(const std::byte* numbers, NumberType type, int64_t index) {
  if (type == NumberType::kF32) return reinterpret_cast<const float*>(numbers)[index];
  if (type == NumberType::kInt8) return reinterpret_cast<const int8_t*>(numbers)[index];
  return HWY_DYNAMIC_DISPATCH(FromHalf)(reinterpret_cast<const uint16_t*>(numbers)[index]);
}

}  // namespace

void KvPages::Read(int64_t page, int64_t head, int64_t slot, float* key, float* value) const {
  const std::byte* memory_of_head = Head(page, head);
  const float* scales = reinterpret_cast<const float*>(memory_of_head + ScalesOffset());
  const bool has_scales = type == NumberType::kInt8;
  const float key_scale = has_scales ? scales[slot] : 1;
  const float value_scale = has_scales ? scales[page_size + slot] : 1;
  for (int64_t d = 0; d < head_size; ++d) {
    key[d] = key_scale * ReadNumber(memory_of_head, type, d * page_size + slot);
    value[d] = value_scale * ReadNumber(memory_of_head + ValuesOffset(), type,
                                        slot * PaddedHeadSize() + d);
  }
}

void StoreKeysAndValues(const KvPages& cache, const RotaryTable* rotary, const AttentionRow* rows,
                        int64_t num_rows, float* qkv) {
  const int64_t width = cache.num_heads * 3 * cache.head_size;
  ParallelFor(num_rows, kMinNumbersPerThread / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) StoreRow(cache, rotary, rows[i], qkv + i * width);
  });
}

void StoreKeysAndValues(const KvPages& cache, const AttentionRow* rows, int64_t num_rows,
                        const float* kv) {
  const int64_t width = cache.num_heads * 2 * cache.head_size;
  ParallelFor(num_rows, kMinNumbersPerThread / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t head = 0; head < cache.num_heads; ++head) {
        StoreHead(cache, rows[i], head, kv + i * width + head * 2 * cache.head_size);
      }
    }
  });
}

}  // namespace blockformer
#endif  // HWY_ONCE
