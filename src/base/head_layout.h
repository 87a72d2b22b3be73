#ifndef BLOCKFORMER_BASE_HEAD_LAYOUT_H_
#define BLOCKFORMER_BASE_HEAD_LAYOUT_H_

#include <cstdint>

namespace blockformer {

// How the heads' queries, keys and values lie in a row of what attention projects. Each is a vector
// of head_size numbers. Several heads may share a key and a value (grouped-query attention: Ainslie
// et al., arXiv 2305.13245): head h reads those of kv head h / GroupSize(). Offsets count numbers
// from the begin of the row.
struct HeadLayout {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_size = 0;
  int64_t width = 0;         // of a row
  int64_t group_stride = 0;  // from the queries of a kv head's group, side by side, to the next's
  int64_t key_offset = 0;    // of the first key
  int64_t value_offset = 0;  // of the first value
  int64_t kv_stride = 0;     // from one key or value to the next

  // [kv_heads, group queries + key + value, head_size]; with as many kv heads as heads that is the
  // order of GPT-NeoX's fused projection, [heads, 3, head_size].
  static constexpr HeadLayout Grouped(int64_t heads, int64_t kv_heads, int64_t head_size) {
    const int64_t group = heads / kv_heads;
    const int64_t stride = (group + 2) * head_size;
    return {heads,
            kv_heads,
            head_size,
            kv_heads * stride,
            stride,
            group * head_size,
            (group + 1) * head_size,
            stride};
  }
  // All queries, then all keys, then all values: what separate projections write side by side.
  static constexpr HeadLayout Split(int64_t heads, int64_t kv_heads, int64_t head_size) {
    const int64_t queries = heads * head_size;
    const int64_t keys = kv_heads * head_size;
    return {heads,   kv_heads,       head_size, queries + 2 * keys, heads / kv_heads * head_size,
            queries, queries + keys, head_size};
  }
  // Queries alone; keys and values come from elsewhere.
  static constexpr HeadLayout Queries(int64_t heads, int64_t kv_heads, int64_t head_size) {
    return {heads, kv_heads, head_size, heads * head_size, heads / kv_heads * head_size, 0, 0, 0};
  }
  // [kv_heads, key + value, head_size], without queries.
  static constexpr HeadLayout KeysAndValues(int64_t kv_heads, int64_t head_size) {
    return {0, kv_heads, head_size, 2 * kv_heads * head_size, 0, 0, head_size, 2 * head_size};
  }

  constexpr int64_t GroupSize() const { return heads / kv_heads; }
  constexpr int64_t Query(int64_t head) const {
    const int64_t group = GroupSize();
    return head / group * group_stride + head % group * head_size;
  }
  constexpr int64_t Key(int64_t kv_head) const { return key_offset + kv_head * kv_stride; }
  constexpr int64_t Value(int64_t kv_head) const { return value_offset + kv_head * kv_stride; }
  // The width of what attention writes, [heads, head_size].
  constexpr int64_t OutputWidth() const { return heads * head_size; }

  bool operator==(const HeadLayout&) const = default;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_HEAD_LAYOUT_H_
