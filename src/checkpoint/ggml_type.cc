#include "checkpoint/ggml_type.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "checkpoint/half.h"

namespace blockformer {
namespace {

// Reads the parts of a block in their order.
class BlockReader {
 public:
  explicit BlockReader(const std::byte* block) : next_(block) {}

  float Half() {
    uint16_t bits;
    std::memcpy(&bits, next_, sizeof(bits));
    next_ += sizeof(bits);
    return HalfToFloat(bits);
  }
  uint32_t Word() {
    uint32_t word;
    std::memcpy(&word, next_, sizeof(word));
    next_ += sizeof(word);
    return word;
  }
  const uint8_t* Bytes(size_t count) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(next_);
    next_ += count;
    return bytes;
  }

 private:
  const std::byte* next_;
};

constexpr int kSmallBlock = 32;
constexpr int kLargeBlock = 256;

// The 4-bit number of element i: low halves of 16 bytes are the first 16 elements.
int Nibble(const uint8_t* packed, int i) {
  return i < kSmallBlock / 2 ? packed[i] & 0xf : packed[i - kSmallBlock / 2] >> 4;
}

void DequantizeQ40(const std::byte* block, float* out) {
  BlockReader reader(block);
  const float scale = reader.Half();
  const uint8_t* packed = reader.Bytes(kSmallBlock / 2);
  for (int i = 0; i < kSmallBlock; ++i) out[i] = static_cast<float>(Nibble(packed, i) - 8) * scale;
}

void DequantizeQ41(const std::byte* block, float* out) {
  BlockReader reader(block);
  const float scale = reader.Half();
  const float least = reader.Half();
  const uint8_t* packed = reader.Bytes(kSmallBlock / 2);
  for (int i = 0; i < kSmallBlock; ++i) {
    out[i] = static_cast<float>(Nibble(packed, i)) * scale + least;
  }
}

// The fifth bit of each element comes first.
int FiveBits(uint32_t high, const uint8_t* packed, int i) {
  return Nibble(packed, i) | static_cast<int>((high >> i) & 1) << 4;
}

void DequantizeQ50(const std::byte* block, float* out) {
  BlockReader reader(block);
  const float scale = reader.Half();
  const uint32_t high = reader.Word();
  const uint8_t* packed = reader.Bytes(kSmallBlock / 2);
  for (int i = 0; i < kSmallBlock; ++i) {
    out[i] = static_cast<float>(FiveBits(high, packed, i) - 16) * scale;
  }
}

void DequantizeQ51(const std::byte* block, float* out) {
  BlockReader reader(block);
  const float scale = reader.Half();
  const float least = reader.Half();
  const uint32_t high = reader.Word();
  const uint8_t* packed = reader.Bytes(kSmallBlock / 2);
  for (int i = 0; i < kSmallBlock; ++i) {
    out[i] = static_cast<float>(FiveBits(high, packed, i)) * scale + least;
  }
}

void DequantizeQ80(const std::byte* block, float* out) {
  BlockReader reader(block);
  const float scale = reader.Half();
  const uint8_t* values = reader.Bytes(kSmallBlock);
  for (int i = 0; i < kSmallBlock; ++i) {
    out[i] = static_cast<float>(static_cast<int8_t>(values[i])) * scale;
  }
}

// What a K-quant stores for a group of 32 numbers, in units of its block's: the factor of the
// numbers, and what is then taken off.
struct GroupScale {
  int scale;
  int least;
};

// 8 pairs of 6 bits in 12 bytes: those of the last 4 groups have their upper 2 bits above those of
// the first 4.
GroupScale UnpackScale(const uint8_t* packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  return {(packed[group + 4] & 0xf) | (packed[group - 4] >> 6) << 4,
          packed[group + 4] >> 4 | (packed[group] >> 6) << 4};
}

// Q4_K and Q5_K: 8 groups of 32, two of which share 32 bytes of nibbles; `high` holds a bit of each
// group for every place in a group, or is null.
void DequantizeGroups(float scale, float least_scale, const uint8_t* scales, const uint8_t* high,
                      const uint8_t* packed, float* out) {
  for (int group = 0; group < 8; ++group) {
    const GroupScale own = UnpackScale(scales, group);
    const float step = scale * static_cast<float>(own.scale);
    const float least = least_scale * static_cast<float>(own.least);
    const uint8_t* bytes = packed + static_cast<ptrdiff_t>(group / 2) * kSmallBlock;
    for (int i = 0; i < kSmallBlock; ++i) {
      int value = group % 2 == 0 ? bytes[i] & 0xf : bytes[i] >> 4;
      if (high != nullptr) value |= ((high[i] >> group) & 1) << 4;
      *out++ = step * static_cast<float>(value) - least;
    }
  }
}

void DequantizeQ4K(const std::byte* block, float* out) {
  BlockReader reader(block);
  const float scale = reader.Half();
  const float least_scale = reader.Half();
  const uint8_t* scales = reader.Bytes(12);
  DequantizeGroups(scale, least_scale, scales, nullptr, reader.Bytes(kLargeBlock / 2), out);
}

void DequantizeQ5K(const std::byte* block, float* out) {
  BlockReader reader(block);
  const float scale = reader.Half();
  const float least_scale = reader.Half();
  const uint8_t* scales = reader.Bytes(12);
  const uint8_t* high = reader.Bytes(kSmallBlock);
  DequantizeGroups(scale, least_scale, scales, high, reader.Bytes(kLargeBlock / 2), out);
}

// Two halves of 128 elements: 64 bytes of their lower 4 bits, 32 of their upper 2, and a scale for
// each 16.
void DequantizeQ6K(const std::byte* block, float* out) {
  BlockReader reader(block);
  const uint8_t* low = reader.Bytes(kLargeBlock / 2);
  const uint8_t* high = reader.Bytes(kLargeBlock / 4);
  const uint8_t* scales = reader.Bytes(kLargeBlock / 16);
  const float scale = reader.Half();
  for (int i = 0; i < kLargeBlock; ++i) {
    const int half = i / 128;
    const int quarter = i % 128 / 32;  // of the half
    const uint8_t bits = low[half * 64 + i % 64];
    const int lower = quarter < 2 ? bits & 0xf : bits >> 4;
    const int upper = (high[half * 32 + i % 32] >> (2 * quarter)) & 3;
    const float step = scale * static_cast<float>(static_cast<int8_t>(scales[i / 16]));
    out[i] = step * static_cast<float>((lower | upper << 4) - 32);
  }
}

const std::array<GgmlType, 11> kTypes = {
    {{0, "F32", 1, 4, DataType::kF32, nullptr},
     {1, "F16", 1, 2, DataType::kF16, nullptr},
     {2, "Q4_0", kSmallBlock, 18, std::nullopt, DequantizeQ40},
     {3, "Q4_1", kSmallBlock, 20, std::nullopt, DequantizeQ41},
     {6, "Q5_0", kSmallBlock, 22, std::nullopt, DequantizeQ50},
     {7, "Q5_1", kSmallBlock, 24, std::nullopt, DequantizeQ51},
     {8, "Q8_0", kSmallBlock, 34, std::nullopt, DequantizeQ80},
     {12, "Q4_K", kLargeBlock, 144, std::nullopt, DequantizeQ4K},
     {13, "Q5_K", kLargeBlock, 176, std::nullopt, DequantizeQ5K},
     {14, "Q6_K", kLargeBlock, 210, std::nullopt, DequantizeQ6K},
     {30, "BF16", 1, 2, DataType::kBF16, nullptr}}};

struct OtherType {
  uint32_t id;
  const char* name;
};

// Types that files have and that are not read, to be named.
constexpr OtherType kOthers[] = {
    {9, "Q8_1"},     {10, "Q2_K"},  {11, "Q3_K"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"},
    {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"},
    {24, "I8"},      {25, "I16"},   {26, "I32"},    {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},
    {34, "TQ1_0"},   {35, "TQ2_0"}, {39, "MXFP4"}};

}  // namespace

const GgmlType& GgmlTypeOf(uint32_t id, const std::string& where) {
  const auto* const found = std::ranges::find(kTypes, id, &GgmlType::id);
  if (found != kTypes.end()) return *found;
  const auto* const other = std::ranges::find(kOthers, id, &OtherType::id);
  const std::string name = other != std::end(kOthers) ? other->name : "which has no name";
  std::vector<std::string> known;
  for (const GgmlType& type : kTypes) known.emplace_back(type.name);
  Fail(ErrorCode::kUnsupported, "{}: type {}, {}, is not supported; one of {} is wanted", where, id,
       name, fmt::join(known, ", "));
}

void Dequantize(const GgmlType& type, std::span<const std::byte> bytes, std::span<float> out) {
  const auto elements = static_cast<size_t>(type.block_elements);
  const auto size = static_cast<size_t>(type.block_bytes);
  for (size_t block = 0; block < bytes.size() / size; ++block) {
    type.dequantize(bytes.data() + block * size, out.data() + block * elements);
  }
}

}  // namespace blockformer
