#ifndef BLOCKFORMER_BASE_HASH_H_
#define BLOCKFORMER_BASE_HASH_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace blockformer {

// The 64-bit hash FNV-1a (Fowler, Noll and Vo) of bytes that come piece by piece; tells equal data
// from other data where nobody forges them.
class Fnv1a {
 public:
  void Add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) AddWord(static_cast<uint64_t>(byte));
  }
  void Add(std::string_view text) { Add(std::as_bytes(std::span(text))); }
  // In place of a byte.
  void AddWord(uint64_t word) { value_ = (value_ ^ word) * 0x100000001B3; }

  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xCBF29CE484222325;
};

// A hash of the same use for gigabytes: 8 bytes a step, several GB a second. `seed` may be the hash
// of what comes before.
inline uint64_t HashOfWords(std::span<const std::byte> bytes, uint64_t seed) {
  uint64_t hash = seed ^ bytes.size();
  for (size_t begin = 0; begin < bytes.size(); begin += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + begin, std::min(sizeof(word), bytes.size() - begin));
    hash = (hash ^ word) * 0x9E3779B97F4A7C15;
    hash ^= hash >> 32;  // so that high bits, such as signs, are not lost to the multiplication
  }
  return hash;
}

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_HASH_H_
