#include "cuda/device_writes.h"

namespace blockformer::cuda {

void DeviceWrites::Send(Stream* stream) {
  if (writes_.empty()) return;
  const int64_t write_bytes = std::ssize(writes_) * static_cast<int64_t>(sizeof(Write));
  const int64_t word_bytes = std::ssize(words_) * static_cast<int64_t>(sizeof(uint32_t));
  const int64_t bytes = write_bytes + word_bytes;
  if (staging_.bytes() < bytes) {
    staging_ = PinnedBuffer(2 * bytes);
    received_ = Buffer(2 * bytes);
  }
  char* staging = static_cast<char*>(staging_.data());
  std::memcpy(staging, writes_.data(), write_bytes);
  std::memcpy(staging + write_bytes, words_.data(), word_bytes);
  stream->CopyToDevice(received_.data(), staging, bytes);
  char* received = static_cast<char*>(received_.data());
  CarryOutWrites(stream, reinterpret_cast<const Write*>(received), std::ssize(writes_),
                 reinterpret_cast<const uint32_t*>(received + write_bytes));
  writes_.clear();
  words_.clear();
}

}  // namespace blockformer::cuda
