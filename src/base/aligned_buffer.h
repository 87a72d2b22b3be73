#ifndef BLOCKFORMER_BASE_ALIGNED_BUFFER_H_
#define BLOCKFORMER_BASE_ALIGNED_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

namespace blockformer {

// Memory that begins at a cache line, and in huge pages where it is large and the system has them,
// so that kernels that stream through it miss the TLB less. It is zero, and takes physical memory
// only where it is touched.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Throws std::bad_alloc if the memory cannot be had.
  explicit AlignedBuffer(int64_t bytes);

  // Grows to at least `bytes`; what it held is lost if it has to grow.
  void Reserve(int64_t bytes);

  template <typename T>
  T* As() const {
    return reinterpret_cast<T*>(memory_.get());
  }
  std::byte* data() const { return memory_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Unmap {
    int64_t bytes;
    void operator()(std::byte* memory) const;
  };

  int64_t bytes_ = 0;
  std::unique_ptr<std::byte, Unmap> memory_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_ALIGNED_BUFFER_H_
