#ifndef BLOCKFORMER_CUDA_DEVICE_WRITES_H_
#define BLOCKFORMER_CUDA_DEVICE_WRITES_H_

#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "cuda/device.h"
#include "cuda/kernels.h"

namespace blockformer::cuda {

// What the host tells the device before a step: any number of small arrays, sent in one copy and
// put in their places by one kernel. Not to be changed until the step before that used it is done.
class DeviceWrites {
 public:
  // Writes `values`, a whole number of words, to memory of the device. Of several writes to the
  // same place none may be relied on.
  template <typename T>
  void Add(void* target, std::span<const T> values) {
    static_assert(sizeof(T) % sizeof(uint32_t) == 0);
    writes_.push_back({target, std::ssize(words_), AddWords(values)});
  }
  template <typename T>
  void Add(void* target, const T& value) {
    Add(target, std::span<const T>(&value, 1));
  }

  // Sends all that was added, and forgets it.
  void Send(Stream* stream);

 private:
  template <typename T>
  int64_t AddWords(std::span<const T> values) {
    const size_t count = values.size_bytes() / sizeof(uint32_t);
    const size_t begin = words_.size();
    words_.resize(begin + count);
    if (count > 0) std::memcpy(words_.data() + begin, values.data(), values.size_bytes());
    return static_cast<int64_t>(count);
  }

  std::vector<Write> writes_;
  std::vector<uint32_t> words_;
  PinnedBuffer staging_;
  Buffer received_;
};

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_DEVICE_WRITES_H_
