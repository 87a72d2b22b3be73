#include "engine/kv_cache.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr int64_t kPageMultiple = 8;

// Floats of one page of one layer.
int64_t KeyFloats(const KvShape& shape, int64_t page_size) {
  return shape.num_heads * shape.head_size * page_size;
}

int64_t ValueFloats(const KvShape& shape, int64_t page_size) {
  return shape.num_heads * PaddedHeadSize(shape.head_size) * page_size;
}

}  // namespace

int64_t PageSizeFor(int64_t positions) {
  return (positions + kPageMultiple - 1) / kPageMultiple * kPageMultiple;
}

void KvCache::FreeMemory::operator()(float* memory) const { std::free(memory); }

int64_t KvCache::BytesPerPage(const KvShape& shape, int64_t page_size) {
  return shape.num_layers * static_cast<int64_t>(sizeof(float)) *
         (KeyFloats(shape, page_size) + ValueFloats(shape, page_size));
}

KvCache::KvCache(const KvShape& shape, int64_t num_pages, int64_t page_size) {
  Require(
      num_pages <= INT32_MAX &&
          !__builtin_mul_overflow(num_pages, BytesPerPage(shape, page_size), &bytes_),
      ErrorCode::kExhausted,
      "a KV cache of {} pages is more than any machine holds; a smaller --batch or --max-length "
      "takes less",
      num_pages);
  // calloc of a large range maps zero pages, which take memory only once they are written.
  memory_.reset(static_cast<float*>(std::calloc(static_cast<size_t>(bytes_), 1)));
  Require(memory_ != nullptr, ErrorCode::kExhausted,
          "{} MB for the KV cache cannot be had; a smaller --batch or --max-length takes less",
          bytes_ / 1'000'000);
  float* next = memory_.get();
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    KvPages pages;
    pages.page_size = page_size;
    pages.num_heads = shape.num_heads;
    pages.head_size = shape.head_size;
    pages.padded_head_size = PaddedHeadSize(shape.head_size);
    pages.keys = next;
    next += num_pages * KeyFloats(shape, page_size);
    pages.values = next;
    next += num_pages * ValueFloats(shape, page_size);
    layers_.push_back(pages);
  }
}

void KvCache::FillForBenchmark() {
  // 2.4e-12 as f32, 0.065 as f16, 44 as int8.
  constexpr int kByte = 0x2C;
  std::memset(memory_.get(), kByte, static_cast<size_t>(bytes_));
}

}  // namespace blockformer
