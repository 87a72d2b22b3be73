// Attention over pages: a warp a (row, head). A key is read by a group of lanes, 16 bytes each, so
// that the warp takes several keys at once, and each group keeps a running maximum, sum and average
// of values (Milakov and Gimelshein, arXiv 1805.02867) that are merged at the end in a fixed order.
#include "cuda/kernels.h"
#include "cuda/numbers.h"
#include "cuda/reduce.h"

namespace blockformer::cuda {
namespace {

constexpr int kWarps = 4;
constexpr float kLowest = -1e30F;

struct AttendArguments {
  KvPages cache;
  HeadLayout layout;
  PageTables tables;
  const DecoderRow* rows;
  const int32_t* list;
  const void* qkv;
  void* out;
  int64_t out_stride;
  float scale;
  bool is_f32;  // qkv and out, or else they are bf16
};

__device__ inline float ReadActivation(const AttendArguments& arguments, int64_t index) {
  return arguments.is_f32 ? static_cast<const float*>(arguments.qkv)[index]
                          : ToFloat(static_cast<const Bf16*>(arguments.qkv)[index]);
}

__device__ inline void WriteOutput(const AttendArguments& arguments, int64_t index, float value) {
  if (arguments.is_f32) {
    static_cast<float*>(arguments.out)[index] = value;
  } else {
    static_cast<Bf16*>(arguments.out)[index] = FromFloat<Bf16>(value);
  }
}

template <typename C>
__device__ float Exponential(float x) {
  if constexpr (std::is_same_v<C, float>) return expf(x);
  return __expf(x);
}

// What the emulation counts.
__device__ inline void CountBytes([[maybe_unused]] double bytes) {
#ifndef __CUDACC__
  emulation::CountsSoFar().cache_bytes += bytes;
#endif
}

// The part of a key or value that one lane has: kChunks pieces of 16 bytes, kLanes apart.
template <typename C, int kLanes, int kChunks>
struct Piece {
  Chunk<C> chunks[kChunks];

  __device__ void Load(const uint8_t* vector, int member, int num_chunks) {
    BLOCKFORMER_UNROLL
    for (int j = 0; j < kChunks; ++j) {
      const int chunk = member + j * kLanes;
      if (chunk < num_chunks) {
        chunks[j] = *reinterpret_cast<const Chunk<C>*>(vector + 16 * chunk);
      } else {
        chunks[j] = Chunk<C>{};
      }
    }
  }
  __device__ float At(int i) const {
    return ToFloat(chunks[i / Chunk<C>::kSize].values[i % Chunk<C>::kSize]);
  }
};

// The running softmax of one group of lanes, which hold kSize numbers of the average each.
template <typename C, int kSize>
struct RunningAverage {
  float largest = kLowest;
  float sum = 0;
  float values[kSize] = {};

  __device__ void Merge(float other_largest, float other_sum, const float* other_values) {
    const float next = other_largest > largest ? other_largest : largest;
    const float keep = Exponential<C>(largest - next);
    const float add = Exponential<C>(other_largest - next);
    sum = sum * keep + other_sum * add;
    BLOCKFORMER_UNROLL
    for (int i = 0; i < kSize; ++i) values[i] = values[i] * keep + other_values[i] * add;
    largest = next;
  }
};

template <typename C, int kLanes, int kChunks>
__global__ void __launch_bounds__(32 * kWarps) AttendKernel(AttendArguments arguments) {
  constexpr int kSize = kChunks * Chunk<C>::kSize;  // numbers a lane
  constexpr int kGroups = 32 / kLanes;
  constexpr int kUnroll = kSize > 8 ? 2 : 4;  // keys and values that are on their way together
  const KvPages& cache = arguments.cache;
  const HeadLayout& layout = arguments.layout;
  const int64_t head = static_cast<int64_t>(blockIdx.y) * kWarps + threadIdx.x / 32;
  if (head >= layout.heads) return;
  const int lane = static_cast<int>(LaneIndex());
  const int group = lane / kLanes;
  const int member = lane % kLanes;
  const int size = static_cast<int>(cache.head_size);
  const int64_t index = arguments.list != nullptr ? arguments.list[blockIdx.x] : blockIdx.x;
  const DecoderRow row = arguments.rows[index];
  const uint8_t* mask = (row.flags & DecoderRow::kHasMask) == 0
                            ? nullptr
                            : arguments.tables.unit_mask + row.table * arguments.tables.mask_stride;
  const bool attends =
      mask == nullptr || mask[row.unit] != 0 || (row.flags & DecoderRow::kAttendsIfMasked) != 0;
  const int last = attends ? row.unit : -1;

  float query[kSize];
  BLOCKFORMER_UNROLL
  for (int i = 0; i < kSize; ++i) {
    const int d = (member + i / Chunk<C>::kSize * kLanes) * Chunk<C>::kSize + i % Chunk<C>::kSize;
    query[i] = d < size ? arguments.scale * ReadActivation(arguments, index * layout.width +
                                                                          layout.Query(head) + d)
                        : 0;
  }

  const int page_size = static_cast<int>(cache.page_size);
  const int vector_bytes = static_cast<int>(cache.VectorBytes());
  const int num_chunks = vector_bytes / 16;
  const int64_t page_bytes = cache.PageBytes();
  const uint8_t* first_head =
      static_cast<const uint8_t*>(cache.memory) + head / layout.GroupSize() * cache.HeadBytes();
  const int32_t* pages = arguments.tables.pages + row.table * arguments.tables.max_pages;
  RunningAverage<C, kSize> average;
  for (int base = 0; base <= last; base += kGroups * kUnroll) {
    Piece<C, kLanes, kChunks> keys[kUnroll];
    Piece<C, kLanes, kChunks> values[kUnroll];
    float key_scales[kUnroll];
    float value_scales[kUnroll];
    bool is_seen[kUnroll];
    BLOCKFORMER_UNROLL
    for (int u = 0; u < kUnroll; ++u) {
      const int position = base + u * kGroups + group;
      const int safe = position <= last ? position : last;
      is_seen[u] = position <= last && (mask == nullptr || mask[position] != 0);
      const int slot = safe % page_size;
      const uint8_t* page = first_head + pages[safe / page_size] * page_bytes;
      keys[u].Load(page + slot * vector_bytes, member, num_chunks);
      values[u].Load(page + (page_size + slot) * vector_bytes, member, num_chunks);
      key_scales[u] = value_scales[u] = 1;
      if constexpr (std::is_same_v<C, int8_t>) {
        const auto* scales = reinterpret_cast<const float*>(page + 2 * page_size * vector_bytes);
        key_scales[u] = scales[slot];
        value_scales[u] = scales[page_size + slot];
      }
    }
    BLOCKFORMER_UNROLL
    for (int u = 0; u < kUnroll; ++u) {
      float score = 0;
      BLOCKFORMER_UNROLL
      for (int i = 0; i < kSize; ++i) score += query[i] * keys[u].At(i);
      BLOCKFORMER_UNROLL
      for (int step = kLanes / 2; step > 0; step /= 2) {
        score += __shfl_xor_sync(kAllLanes, score, step);
      }
      score *= key_scales[u];
      if (!is_seen[u]) continue;  // its lanes meet the others at the next shuffle
      const float next = score > average.largest ? score : average.largest;
      const float keep = Exponential<C>(average.largest - next);
      // What is not finite makes the sum NaN.
      const float weight = Exponential<C>(score - next) + 0 * score;
      average.sum = average.sum * keep + weight;
      const float scaled = weight * value_scales[u];
      BLOCKFORMER_UNROLL
      for (int i = 0; i < kSize; ++i) {
        average.values[i] = average.values[i] * keep + scaled * values[u].At(i);
      }
      average.largest = next;
    }
  }
  if (lane == 0) CountBytes(2.0 * (last + 1) * vector_bytes);

  BLOCKFORMER_UNROLL
  for (int step = kLanes; step < 32; step *= 2) {
    float other[kSize];
    const float other_largest = __shfl_xor_sync(kAllLanes, average.largest, step);
    const float other_sum = __shfl_xor_sync(kAllLanes, average.sum, step);
    BLOCKFORMER_UNROLL
    for (int i = 0; i < kSize; ++i) other[i] = __shfl_xor_sync(kAllLanes, average.values[i], step);
    average.Merge(other_largest, other_sum, other);
  }
  if (group != 0) return;
  const float inverse = average.sum == 0 ? 0 : 1 / average.sum;
  BLOCKFORMER_UNROLL
  for (int i = 0; i < kSize; ++i) {
    const int d = (member + i / Chunk<C>::kSize * kLanes) * Chunk<C>::kSize + i % Chunk<C>::kSize;
    if (d >= size) continue;
    WriteOutput(arguments, blockIdx.x * arguments.out_stride + head * size + d,
                average.values[i] * inverse);
  }
}

template <typename C>
void AttendAs(Stream* stream, const AttendArguments& arguments, int64_t num_rows) {
  const dim3 grid(static_cast<unsigned>(num_rows),
                  static_cast<unsigned>((arguments.layout.heads + kWarps - 1) / kWarps));
  const auto launch = [&](auto* kernel) {
    Launch("AttendPages", stream, kernel, grid, dim3(32 * kWarps), arguments);
  };
  const int64_t chunks = arguments.cache.VectorBytes() / 16;
  if (chunks <= 2) return launch(AttendKernel<C, 2, 1>);
  if (chunks <= 4) return launch(AttendKernel<C, 4, 1>);
  if (chunks <= 8) return launch(AttendKernel<C, 8, 1>);
  if (chunks <= 16) return launch(AttendKernel<C, 16, 1>);
  if constexpr (sizeof(C) >= 2) {
    if (chunks <= 32) return launch(AttendKernel<C, 32, 1>);
  }
  if constexpr (sizeof(C) == 4) launch(AttendKernel<C, 32, 2>);
}

}  // namespace

void AttendPages(Stream* stream, Element type, const KvPages& cache, const HeadLayout& layout,
                 const PageTables& tables, const DecoderRow* rows, const int32_t* list,
                 int64_t num_rows, const void* qkv, void* out, int64_t out_stride) {
  AttendArguments arguments;
  arguments.cache = cache;
  arguments.layout = layout;
  arguments.tables = tables;
  arguments.rows = rows;
  arguments.list = list;
  arguments.qkv = qkv;
  arguments.out = out;
  arguments.out_stride = out_stride;
  arguments.scale = 1 / std::sqrt(static_cast<float>(cache.head_size));
  arguments.is_f32 = type == Element::kF32;
  switch (cache.type) {
    case Element::kF32:
      return AttendAs<float>(stream, arguments, num_rows);
    case Element::kF16:
      return AttendAs<F16>(stream, arguments, num_rows);
    case Element::kBf16:
      return AttendAs<Bf16>(stream, arguments, num_rows);
    case Element::kInt8:
      return AttendAs<int8_t>(stream, arguments, num_rows);
    case Element::kE4m3:
      return AttendAs<E4m3>(stream, arguments, num_rows);
  }
}

}  // namespace blockformer::cuda
