#ifndef BLOCKFORMER_KERNELS_PRODUCT_PLAN_H_
#define BLOCKFORMER_KERNELS_PRODUCT_PLAN_H_

#include <algorithm>
#include <cstdint>

#include "base/integer.h"

namespace blockformer {

// How a product is cut into items that threads take: a group of panels of columns times a chunk of
// rows. It changes no result.
struct ProductPlan {
  int64_t groups;
  int64_t chunks;

  int64_t items() const { return groups * chunks; }
};

// A part of a range that is cut into nearly equal ones.
struct PartRange {
  int64_t begin;
  int64_t end;

  int64_t size() const { return end - begin; }
};
inline PartRange PartOf(int64_t count, int64_t parts, int64_t part) {
  return {count * part / parts, count * (part + 1) / parts};
}

// With this many items a thread, all threads end at nearly the same time.
inline constexpr int64_t kItemsPerThread = 4;

// Chunks hold at most `max_chunk_blocks` blocks of rows, so that their inputs stay in a cache.
// Where there are too few groups for the threads, there are more chunks, though each reads all
// weights again.
inline ProductPlan PlanProduct(int64_t blocks, int64_t max_chunk_blocks, int64_t groups,
                               int threads) {
  const int64_t wanted = threads == 1 ? 1 : DivideUp(kItemsPerThread * threads, groups);
  return {groups, std::min(std::max(DivideUp(blocks, max_chunk_blocks), wanted), blocks)};
}

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_PRODUCT_PLAN_H_
