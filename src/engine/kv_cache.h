#ifndef BLOCKFORMER_ENGINE_KV_CACHE_H_
#define BLOCKFORMER_ENGINE_KV_CACHE_H_

#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/number_type.h"
#include "kernels/kv_pages.h"

namespace blockformer {

// What the size of a cache depends on.
struct KvShape {
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t head_size = 0;
  NumberType type = NumberType::kF32;
};

// The smallest size of a page that holds `positions` positions, of which attention wants whole
// vectors.
int64_t PageSizeFor(int64_t positions);

// The keys and values of all layers of a stack, in pages that sequences take and give back. All
// memory is reserved at construction and touched at first use. Not thread-safe.
class KvCache {
 public:
  // Throws Error(kExhausted) if the memory cannot be had.
  KvCache(const KvShape& shape, int64_t num_pages, int64_t page_size);

  const KvPages& Layer(int64_t layer) const { return layers_[static_cast<size_t>(layer)]; }
  int64_t page_size() const { return page_size_; }
  int64_t num_free_pages() const { return static_cast<int64_t>(free_pages_.size()); }

  // Appends `count` pages to `pages`. Throws Error(kInternal) if fewer are free.
  void Take(int64_t count, std::vector<int32_t>* pages);
  // Returns all pages and empties the list.
  void GiveBack(std::vector<int32_t>* pages);

  static int64_t BytesPerPage(const KvShape& shape, int64_t page_size);

 private:
  int64_t page_size_;
  AlignedBuffer memory_;
  std::vector<KvPages> layers_;
  std::vector<int32_t> free_pages_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_KV_CACHE_H_
