// Stores keys and values in pages: a warp a (row, kv head), its lanes the dimensions in strides
// of 32. It first turns the queries of the head's group in place, then holds the turned key in
// registers, since int8 takes its largest number before the first one can be written.
#include "cuda/kernels.h"
#include "cuda/numbers.h"
#include "cuda/reduce.h"
#include "cuda/rotate.h"

namespace blockformer::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kMostPerLane = kMaxHeadSize / 32;

template <typename T>
struct StoreArguments {
  KvPages cache;
  HeadLayout layout;
  RotaryTable rotary;
  PageTables tables;
  const DecoderRow* rows;
  T* qkv;
};

// Writes a vector that lies in the lanes' registers, with zeros behind it.
template <typename C>
__device__ void StoreVector(const float* values, int size, int padded, C* target, float* scale) {
  const int lane = static_cast<int>(LaneIndex());
  float factor = 1;
  if constexpr (std::is_same_v<C, int8_t>) {
    float largest = 0;
    float poison = 0;  // NaN if a number is not finite
    for (int i = 0; i < kMostPerLane; ++i) {
      largest = fmaxf(largest, fabsf(values[i]));
      poison += 0 * values[i];
    }
    largest = WarpMax(largest);
    poison = WarpSum(poison);
    constexpr float kLeast = 1e-36F;  // so that a vector of zeros is divided by something
    factor = 127 / fmaxf(largest, kLeast);
    if (lane == 0) *scale = 1 / factor + poison;
    if (!(poison == 0)) factor = 0;
  }
  BLOCKFORMER_UNROLL
  for (int i = 0; i < kMostPerLane; ++i) {
    const int d = lane + 32 * i;
    if (d >= padded) continue;
    float value = d < size ? values[i] : 0;
    if constexpr (std::is_same_v<C, int8_t>) value = factor == 0 ? 0 : value * factor;
    target[d] = FromFloat<C>(value);
  }
}

template <typename T, typename C>
__global__ void StoreKernel(StoreArguments<T> arguments, int64_t num_rows) {
  const int64_t warp = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  const KvPages& cache = arguments.cache;
  const HeadLayout& layout = arguments.layout;
  if (warp >= num_rows * cache.kv_heads) return;
  const int lane = static_cast<int>(LaneIndex());
  const int64_t kv_head = warp % cache.kv_heads;
  const DecoderRow row = arguments.rows[warp / cache.kv_heads];
  T* x = arguments.qkv + warp / cache.kv_heads * layout.width;
  const int size = static_cast<int>(cache.head_size);

  const int half = static_cast<int>(arguments.rotary.size) / 2;
  for (int64_t i = 0; i < layout.GroupSize(); ++i) {
    T* query = x + layout.Query(kv_head * layout.GroupSize() + i);
    for (int pair = lane; pair < half; pair += 32) {
      const float first = Rotated(query, pair, arguments.rotary, row.rotary);
      const float second = Rotated(query, pair + half, arguments.rotary, row.rotary);
      query[pair] = FromFloat<T>(first);
      query[pair + half] = FromFloat<T>(second);
    }
  }

  float key[kMostPerLane];
  float value[kMostPerLane];
  BLOCKFORMER_UNROLL
  for (int i = 0; i < kMostPerLane; ++i) {
    const int d = lane + 32 * i;
    key[i] = d < size ? Rotated(x + layout.Key(kv_head), d, arguments.rotary, row.rotary) : 0;
    value[i] = d < size ? ToFloat(x[layout.Value(kv_head) + d]) : 0;
  }
  const int64_t slot = row.unit % cache.page_size;
  const int64_t page =
      arguments.tables.pages[row.table * arguments.tables.max_pages + row.unit / cache.page_size];
  uint8_t* head =
      static_cast<uint8_t*>(cache.memory) + page * cache.PageBytes() + kv_head * cache.HeadBytes();
  uint8_t* values = head + cache.page_size * cache.VectorBytes();
  float* scales = reinterpret_cast<float*>(values + cache.page_size * cache.VectorBytes());
  const int padded = static_cast<int>(cache.VectorBytes() / static_cast<int64_t>(sizeof(C)));
  StoreVector(key, size, padded, reinterpret_cast<C*>(head + slot * cache.VectorBytes()),
              scales + slot);
  StoreVector(value, size, padded, reinterpret_cast<C*>(values + slot * cache.VectorBytes()),
              scales + cache.page_size + slot);
}

template <typename T>
void StoreAs(Stream* stream, const StoreArguments<T>& arguments, int64_t num_rows) {
  const int64_t warps = num_rows * arguments.cache.kv_heads;
  const dim3 grid(static_cast<unsigned>((warps + kWarps - 1) / kWarps));
  const auto launch = [&](auto* kernel) {
    Launch("StoreKeysAndValues", stream, kernel, grid, dim3(32 * kWarps), arguments, num_rows);
  };
  switch (arguments.cache.type) {
    case Element::kF32:
      return launch(StoreKernel<T, float>);
    case Element::kF16:
      return launch(StoreKernel<T, F16>);
    case Element::kBf16:
      return launch(StoreKernel<T, Bf16>);
    case Element::kInt8:
      return launch(StoreKernel<T, int8_t>);
    case Element::kE4m3:
      return launch(StoreKernel<T, E4m3>);
  }
}

}  // namespace

void StoreKeysAndValues(Stream* stream, Element type, const KvPages& cache,
                        const HeadLayout& layout, const RotaryTable& rotary,
                        const PageTables& tables, const DecoderRow* rows, int64_t num_rows,
                        void* qkv) {
  if (type == Element::kF32) {
    StoreAs<float>(stream, {cache, layout, rotary, tables, rows, static_cast<float*>(qkv)},
                   num_rows);
  } else {
    StoreAs<Bf16>(stream, {cache, layout, rotary, tables, rows, static_cast<Bf16*>(qkv)}, num_rows);
  }
}

}  // namespace blockformer::cuda
