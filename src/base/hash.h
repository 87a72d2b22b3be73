#ifndef BLOCKFORMER_BASE_HASH_H_
#define BLOCKFORMER_BASE_HASH_H_

#include <cstdint>
#include <string_view>

namespace blockformer {

// The 64-bit hash FNV-1a (Fowler, Noll and Vo) of bytes that come piece by piece; tells equal data
// from other data where nobody forges them.
class Fnv1a {
 public:
  void Add(std::string_view bytes) {
    for (const char byte : bytes) value_ = (value_ ^ static_cast<uint8_t>(byte)) * 0x100000001B3;
  }

  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xCBF29CE484222325;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_HASH_H_
