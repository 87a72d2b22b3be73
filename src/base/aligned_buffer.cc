#include "base/aligned_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace blockformer {
namespace {

constexpr int64_t kHugePage = int64_t{1} << 21;

}  // namespace

void AlignedBuffer::Unmap::operator()(std::byte* memory) const { munmap(memory, bytes); }

AlignedBuffer::AlignedBuffer(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  // Large ranges are whole huge pages, or the kernel would leave their ends in small ones.
  const int64_t mapped =
      bytes < kHugePage ? bytes : (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  madvise(memory, mapped, MADV_HUGEPAGE);  // a hint; it may fail
  memory_ = {static_cast<std::byte*>(memory), Unmap{mapped}};
}

void AlignedBuffer::Reserve(int64_t bytes) {
  if (bytes > bytes_) *this = AlignedBuffer(std::max(bytes, bytes_ + bytes_ / 2));
}

}  // namespace blockformer
