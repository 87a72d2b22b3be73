#ifndef BLOCKFORMER_CPU_KV_CACHE_H_
#define BLOCKFORMER_CPU_KV_CACHE_H_

#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/number_type.h"
#include "kernels/kv_pages.h"

namespace blockformer {

// What the size of a cache depends on.
struct KvShape {
  int64_t num_layers = 0;
  int64_t kv_heads = 0;
  int64_t head_size = 0;
  NumberType type = NumberType::kF32;
};

// The smallest page size that holds `positions` positions and is whole vectors, as attention needs.
int64_t PageSizeFor(int64_t positions);

// The memory of the keys and values of all layers of a stack, in pages; who uses which is decided
// elsewhere. All of it is reserved at construction and touched at first use. Not thread-safe.
class KvCache {
 public:
  // Throws Error(kExhausted) if the memory cannot be had.
  KvCache(const KvShape& shape, int64_t num_pages, int64_t page_size);

  const KvPages& Layer(int64_t layer) const { return layers_[layer]; }

  // Writes arbitrary small numbers everywhere, so that all of the memory is really there.
  void FillForBenchmark();

  static int64_t BytesPerPage(const KvShape& shape, int64_t page_size);

 private:
  int64_t bytes_ = 0;
  AlignedBuffer memory_;
  std::vector<KvPages> layers_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_KV_CACHE_H_
