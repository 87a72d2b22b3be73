#include "engine/kv_cache.h"

#include <new>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr int64_t kPageMultiple = 8;

// A layer's pages, without memory.
KvPages LayerOf(const KvShape& shape, int64_t page_size) {
  return {nullptr, shape.type, page_size, shape.num_heads, shape.head_size};
}

}  // namespace

int64_t PageSizeFor(int64_t positions) {
  return (positions + kPageMultiple - 1) / kPageMultiple * kPageMultiple;
}

int64_t KvCache::BytesPerPage(const KvShape& shape, int64_t page_size) {
  return shape.num_layers * LayerOf(shape, page_size).PageBytes();
}

KvCache::KvCache(const KvShape& shape, int64_t num_pages, int64_t page_size)
    : page_size_(page_size) {
  int64_t bytes = 0;
  Require(
      num_pages <= INT32_MAX &&
          !__builtin_mul_overflow(num_pages, BytesPerPage(shape, page_size), &bytes),
      ErrorCode::kExhausted,
      "a KV cache of {} pages is more than any machine holds; a smaller --batch or --max-length "
      "takes less",
      num_pages);
  try {
    memory_ = AlignedBuffer(bytes);
  } catch (const std::bad_alloc&) {
    Fail(ErrorCode::kExhausted,
         "{} MB for the KV cache cannot be had; a smaller --batch or --max-length takes less",
         bytes / 1'000'000);
  }
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    KvPages pages = LayerOf(shape, page_size);
    pages.memory = memory_.data() + layer * num_pages * pages.PageBytes();
    layers_.push_back(pages);
  }
  for (int64_t page = num_pages; page > 0; --page) {
    free_pages_.push_back(static_cast<int32_t>(page - 1));
  }
}

void KvCache::Take(int64_t count, std::vector<int32_t>* pages) {
  Require(count <= num_free_pages(), ErrorCode::kInternal, "{} pages are wanted and {} are free",
          count, num_free_pages());
  for (int64_t i = 0; i < count; ++i) {
    pages->push_back(free_pages_.back());
    free_pages_.pop_back();
  }
}

void KvCache::GiveBack(std::vector<int32_t>* pages) {
  free_pages_.insert(free_pages_.end(), pages->rbegin(), pages->rend());
  pages->clear();
}

}  // namespace blockformer
