#ifndef BLOCKFORMER_BASE_NUMBER_TYPE_H_
#define BLOCKFORMER_BASE_NUMBER_TYPE_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace blockformer {

// How weights, keys and values lie in memory. Arithmetic on f16 and bf16 is that of f32; int8 comes
// with scales.
enum class NumberType { kF32, kF16, kBf16, kInt8 };

const char* NumberTypeName(NumberType type);  // "f32", "f16", "bf16" or "int8"
int64_t NumberBytes(NumberType type);         // of one number, without scales
std::optional<NumberType> ParseNumberType(std::string_view name);

// The largest sum of the absolute values of two neighbouring weights of int8, of inputs 2i and
// 2i + 1 of an output, that are multiplied with bytes exactly by instructions which add such
// products in 16 bits: 128 * 255 < 2^15. The quantiser keeps to it; weights that do not take
// longer.
inline constexpr int kMaxInt8PairSum = 128;

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_NUMBER_TYPE_H_
