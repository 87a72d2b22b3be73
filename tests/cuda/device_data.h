#ifndef BLOCKFORMER_TESTS_CUDA_DEVICE_DATA_H_
#define BLOCKFORMER_TESTS_CUDA_DEVICE_DATA_H_

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "base/random.h"
#include "cuda/device.h"
#include "cuda/kernels.h"

// Numbers on the device and back, for tests of single kernels.
namespace blockformer::cuda {

template <typename T>
class OnDevice {
 public:
  explicit OnDevice(int64_t size) : array_(size) {}
  OnDevice(Stream* stream, const std::vector<T>& values) : array_(std::ssize(values)) {
    stream->CopyToDevice(array_.data(), values.data(), Bytes());
    stream->Wait();
  }

  T* data() const { return array_.data(); }
  std::vector<T> Read(Stream* stream) const {
    std::vector<T> values(array_.size());
    stream->CopyToHost(values.data(), array_.data(), Bytes());
    stream->Wait();
    return values;
  }

 private:
  int64_t Bytes() const { return array_.size() * static_cast<int64_t>(sizeof(T)); }

  Array<T> array_;
};

inline float RoundToBf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

inline std::vector<uint16_t> ToBf16(const std::vector<float>& values) {
  std::vector<uint16_t> result;
  for (const float value : values) {
    const float rounded = RoundToBf16(value);
    uint32_t bits;
    std::memcpy(&bits, &rounded, sizeof bits);
    result.push_back(static_cast<uint16_t>(bits >> 16));
  }
  return result;
}

inline float FromBf16(uint16_t value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

// Numbers of either type behind one face: they are rounded to it on their way to the device.
class Numbers {
 public:
  Numbers(Stream* stream, Element type, std::vector<float> values)
      : type_(type), values_(std::move(values)), buffer_(std::ssize(values_) * ElementBytes(type)) {
    if (type == Element::kF32) {
      stream->CopyToDevice(buffer_.data(), values_.data(), buffer_.bytes());
    } else {
      const std::vector<uint16_t> rounded = ToBf16(values_);
      stream->CopyToDevice(buffer_.data(), rounded.data(), buffer_.bytes());
      stream->Wait();
      for (float& value : values_) value = RoundToBf16(value);
    }
    stream->Wait();
  }
  // Arbitrary ones.
  Numbers(Element type, int64_t size)
      : type_(type), values_(size), buffer_(size * ElementBytes(type)) {}

  void* data() const { return buffer_.data(); }
  // As they were put there, rounded.
  const std::vector<float>& values() const { return values_; }
  float operator[](int64_t i) const { return values_[i]; }

  std::vector<float> Read(Stream* stream) const {
    std::vector<float> result(values_.size());
    if (type_ == Element::kF32) {
      stream->CopyToHost(result.data(), buffer_.data(), buffer_.bytes());
      stream->Wait();
      return result;
    }
    std::vector<uint16_t> halves(values_.size());
    stream->CopyToHost(halves.data(), buffer_.data(), buffer_.bytes());
    stream->Wait();
    for (size_t i = 0; i < halves.size(); ++i) result[i] = FromBf16(halves[i]);
    return result;
  }

 private:
  Element type_;
  std::vector<float> values_;
  Buffer buffer_;
};

inline std::vector<float> RandomFloats(int64_t count, uint64_t seed, float scale = 1) {
  Random random(seed);
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(scale * static_cast<float>(random.Normal()));
  }
  return values;
}

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_TESTS_CUDA_DEVICE_DATA_H_
