// Attention within blocks of a few positions: a warp a (block, head), its lanes the dimensions in
// strides of 32. It takes the block's new positions one after the other; a lane reads of the cache
// only what it has written itself, now or in an earlier launch, so that no barrier is needed.
#include "cuda/kernels.h"
#include "cuda/numbers.h"
#include "cuda/reduce.h"
#include "cuda/rotate.h"

namespace blockformer::cuda {
namespace {

constexpr int kWarps = 4;
constexpr float kLowest = -1e30F;

template <typename T>
struct BlockArguments {
  T* cache;
  HeadLayout layout;
  RotaryTable rotary;
  BlockStep step;
  const T* qkv;
  T* out;
  int64_t out_stride;
  float scale;
};

template <typename T, int kPerLane>
__global__ void __launch_bounds__(32 * kWarps) AttendInBlockKernel(BlockArguments<T> arguments) {
  const HeadLayout& layout = arguments.layout;
  const BlockStep& step = arguments.step;
  const int64_t warp = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (warp >= step.blocks * layout.heads) return;
  const int lane = static_cast<int>(LaneIndex());
  const int size = static_cast<int>(layout.head_size);
  const int64_t block = warp / layout.heads;
  const int64_t head = warp % layout.heads;
  const int64_t kv_head = head / layout.GroupSize();
  // Heads of a group write the same numbers to the same places.
  T* cache = arguments.cache + (block * layout.kv_heads + kv_head) * step.positions * 2 * size;
  const uint8_t* mask = step.key_mask == nullptr ? nullptr : step.key_mask + block * step.positions;
  for (int64_t i = 0; i < step.count; ++i) {
    const int64_t position = step.first + i;
    const int64_t turned = position > step.rotary_shift ? position - step.rotary_shift : 0;
    const T* x = arguments.qkv + (block * step.count + i) * layout.width;
    float query[kPerLane];
    BLOCKFORMER_UNROLL
    for (int j = 0; j < kPerLane; ++j) {
      const int d = lane + 32 * j;
      if (d >= size) {
        query[j] = 0;
        continue;
      }
      query[j] = arguments.scale * Rotated(x + layout.Query(head), d, arguments.rotary, turned);
      T* key = cache + position * 2 * size;
      key[d] = FromFloat<T>(Rotated(x + layout.Key(kv_head), d, arguments.rotary, turned));
      key[size + d] = x[layout.Value(kv_head) + d];
    }
    const int64_t wanted = i - (step.count - step.wanted);
    if (wanted < 0) continue;
    float largest = kLowest;
    float sum = 0;
    float values[kPerLane] = {};
    for (int64_t p = 0; p <= position; ++p) {
      if (mask != nullptr && mask[p] == 0) continue;
      const T* key = cache + p * 2 * size;
      float score = 0;
      BLOCKFORMER_UNROLL
      for (int j = 0; j < kPerLane; ++j) {
        const int d = lane + 32 * j;
        if (d < size) score += query[j] * ToFloat(key[d]);
      }
      score = WarpSum(score);
      const float next = score > largest ? score : largest;
      const float keep = expf(largest - next);
      const float weight = expf(score - next) + 0 * score;  // NaN for what is not finite
      sum = sum * keep + weight;
      BLOCKFORMER_UNROLL
      for (int j = 0; j < kPerLane; ++j) {
        const int d = lane + 32 * j;
        if (d < size) values[j] = values[j] * keep + weight * ToFloat(key[size + d]);
      }
      largest = next;
    }
    T* out = arguments.out + (block * step.wanted + wanted) * arguments.out_stride + head * size;
    BLOCKFORMER_UNROLL
    for (int j = 0; j < kPerLane; ++j) {
      const int d = lane + 32 * j;
      if (d < size) out[d] = FromFloat<T>(sum == 0 ? 0 : values[j] / sum);
    }
  }
}

template <typename T>
void AttendAs(Stream* stream, const BlockArguments<T>& arguments) {
  const int64_t warps = arguments.step.blocks * arguments.layout.heads;
  const dim3 grid(static_cast<unsigned>((warps + kWarps - 1) / kWarps));
  const auto launch = [&](auto* kernel) {
    Launch("AttendInBlock", stream, kernel, grid, dim3(32 * kWarps), arguments);
  };
  const int64_t size = arguments.layout.head_size;
  if (size <= 32) return launch(AttendInBlockKernel<T, 1>);
  if (size <= 64) return launch(AttendInBlockKernel<T, 2>);
  if (size <= 128) return launch(AttendInBlockKernel<T, 4>);
  launch(AttendInBlockKernel<T, 8>);
}

}  // namespace

void AttendInBlock(Stream* stream, Element type, void* cache, const HeadLayout& layout,
                   const RotaryTable& rotary, const BlockStep& step, const void* qkv, void* out,
                   int64_t out_stride) {
  const float scale = 1 / std::sqrt(static_cast<float>(layout.head_size));
  if (type == Element::kF32) {
    AttendAs<float>(
        stream, {static_cast<float*>(cache), layout, rotary, step, static_cast<const float*>(qkv),
                 static_cast<float*>(out), out_stride, scale});
  } else {
    AttendAs<Bf16>(stream,
                   {static_cast<Bf16*>(cache), layout, rotary, step, static_cast<const Bf16*>(qkv),
                    static_cast<Bf16*>(out), out_stride, scale});
  }
}

}  // namespace blockformer::cuda
