#include "cpu/kv_cache.h"

#include <cstring>
#include <new>

#include "base/error.h"
#include "base/integer.h"
#include "base/matrix.h"

namespace blockformer {
namespace {

constexpr int64_t kPageMultiple = 8;

// A layer's pages, without memory.
KvPages LayerOf(const KvShape& shape, int64_t page_size) {
  return {nullptr, shape.type, page_size, shape.kv_heads, shape.head_size};
}

}  // namespace

int64_t PageSizeFor(int64_t positions) { return RoundUp(positions, kPageMultiple); }

int64_t KvCache::BytesPerPage(const KvShape& shape, int64_t page_size) {
  return shape.num_layers * LayerOf(shape, page_size).PageBytes();
}

KvCache::KvCache(const KvShape& shape, int64_t num_pages, int64_t page_size) {
  Require(
      num_pages <= INT32_MAX &&
          !__builtin_mul_overflow(num_pages, BytesPerPage(shape, page_size), &bytes_),
      ErrorCode::kExhausted,
      "a KV cache of {} pages is more than any machine holds; a smaller `batch` or `max_length` "
      "takes less",
      num_pages);
  try {
    memory_ = AlignedBuffer(bytes_);
  } catch (const std::bad_alloc&) {
    Fail(ErrorCode::kExhausted,
         "{} MB for the KV cache cannot be had; a smaller `batch` or `max_length` takes less",
         bytes_ / 1'000'000);
  }
  KvPages pages = LayerOf(shape, page_size);
  const MatrixView<std::byte> memory(memory_.data(), shape.num_layers,
                                     num_pages * pages.PageBytes());
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    pages.memory = memory.Row(layer).data();
    layers_.push_back(pages);
  }
}

void KvCache::FillForBenchmark() {
  // 2.4e-12 as f32, 0.065 as f16, 44 as int8.
  constexpr int kByte = 0x2C;
  std::memset(memory_.data(), kByte, bytes_);
}

}  // namespace blockformer
