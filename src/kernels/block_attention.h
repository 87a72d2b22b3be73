#ifndef BLOCKFORMER_KERNELS_BLOCK_ATTENTION_H_
#define BLOCKFORMER_KERNELS_BLOCK_ATTENTION_H_

#include <cstdint>

#include "base/head_layout.h"
#include "kernels/rotary.h"

namespace blockformer {

// The most positions that one block may have: its lead and its tokens.
inline constexpr int64_t kMaxBlockPositions = 256;

// The keys and values of one layer over the few positions of many independent blocks, in f32.
struct BlockCache {
  float* memory = nullptr;  // [blocks, kv_heads, positions, 2, padded head size]
  int64_t kv_heads = 0;
  int64_t head_size = 0;
  int64_t positions = 0;  // of a block, at most kMaxBlockPositions

  int64_t BlockFloats() const;
};

// Which positions of all blocks are computed.
struct BlockStep {
  int64_t blocks = 0;
  int64_t first = 0;  // position in the block
  int64_t count = 0;
  int64_t wanted = 0;  // how many of the last ones attend; the others only store keys and values
  const int32_t* rotary_positions = nullptr;  // [positions]
  // [blocks, positions], 0 for keys that no query sees; null if all are visible.
  const uint8_t* key_mask = nullptr;
};

// Turns queries and keys of qkv [blocks, count, layout.width] by their rotary positions, stores
// keys and values, and attends causally within each block, scaled by the root of head_size: out
// [blocks, wanted, heads * head_size]. A block's result depends on nothing but the block. Where a
// query, or a key or value that it sees, is infinite or NaN, that head's output has numbers that
// are not finite either.
void AttendInBlock(const BlockCache& cache, const HeadLayout& layout, const RotaryTable& rotary,
                   const BlockStep& step, const float* qkv, float* out);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_BLOCK_ATTENTION_H_
