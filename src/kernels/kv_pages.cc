#include "kernels/kv_pages.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/parallel.h"
#include "kernels/half.h"

namespace blockformer {
namespace {

constexpr int64_t kMinNumbersPerThread = 1 << 15;

// Writes a key and a value: numbers of type T, converted already.
template <typename T>
void Scatter(const KvPages& cache, std::byte* head, int64_t slot, const T* key, const T* value) {
  T* keys = reinterpret_cast<T*>(head);
  for (int64_t d = 0; d < cache.head_size; ++d) keys[d * cache.page_size + slot] = key[d];
  T* values = reinterpret_cast<T*>(head + cache.ValuesOffset());
  std::memcpy(values + slot * cache.PaddedHeadSize(), value, cache.head_size * sizeof(T));
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

void StoreHead(const KvPages& cache, const AttentionRow& row, int64_t head_index, const float* key,
               const float* value) {
  const int64_t slot = row.position % cache.page_size;
  std::byte* head = cache.Head(row.pages[row.position / cache.page_size], head_index);
  const int64_t size = cache.head_size;
  if (cache.type == NumberType::kF32) return Scatter(cache, head, slot, key, value);
  if (cache.type == NumberType::kF16) {
    uint16_t halves[2 * kMaxHeadSize];
    ToHalves(key, size, halves);
    ToHalves(value, size, halves + size);
    return Scatter(cache, head, slot, halves, halves + size);
  }
  int8_t bytes[2 * kMaxHeadSize];
  float* scales = reinterpret_cast<float*>(head + cache.ScalesOffset());
  scales[slot] = ToBytes(key, size, bytes);
  scales[cache.page_size + slot] = ToBytes(value, size, bytes + size);
  Scatter(cache, head, slot, bytes, bytes + size);
}

void StoreRow(const KvPages& cache, const HeadLayout& layout, const RotaryTable* rotary,
              const AttentionRow& row, float* heads) {
  if (rotary != nullptr) {
    for (int64_t head = 0; head < layout.heads; ++head) {
      Rotate(*rotary, row.rotary_position, heads + layout.Query(head));
    }
  }
  for (int64_t head = 0; head < cache.kv_heads; ++head) {
    float* key = heads + layout.Key(head);
    if (rotary != nullptr) Rotate(*rotary, row.rotary_position, key);
    StoreHead(cache, row, head, key, heads + layout.Value(head));
  }
}

float ReadNumber(const std::byte* numbers, NumberType type, int64_t index) {
  if (type == NumberType::kF32) return reinterpret_cast<const float*>(numbers)[index];
  if (type == NumberType::kInt8) return reinterpret_cast<const int8_t*>(numbers)[index];
  float number;
  FromHalves(reinterpret_cast<const uint16_t*>(numbers) + index, 1, &number);
  return number;
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
    value[d] = value_scale *
               ReadNumber(memory_of_head + ValuesOffset(), type, slot * PaddedHeadSize() + d);
  }
}

void StoreKeysAndValues(const KvPages& cache, const HeadLayout& layout, const RotaryTable* rotary,
                        const AttentionRow* rows, int64_t num_rows, float* rows_of_heads) {
  const int64_t width = layout.width;
  ParallelFor(num_rows, kMinNumbersPerThread / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      StoreRow(cache, layout, rotary, rows[i], rows_of_heads + i * width);
    }
  });
}

}  // namespace blockformer
