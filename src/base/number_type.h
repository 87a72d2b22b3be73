#ifndef BLOCKFORMER_BASE_NUMBER_TYPE_H_
#define BLOCKFORMER_BASE_NUMBER_TYPE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace blockformer {

// How weights, keys and values lie in memory. Arithmetic on f16 and bf16 is that of f32; int8 comes
// with scales.
enum class NumberType { kF32, kF16, kBf16, kInt8 };

const char* NumberTypeName(NumberType type);  // "f32", "f16", "bf16" or "int8"
int64_t NumberBytes(NumberType type);         // of one number, without scales

// What weights of linear layers, and keys and values of a cache, may be kept as.
inline constexpr std::array kWeightTypes = {NumberType::kF32, NumberType::kBf16, NumberType::kInt8};
inline constexpr std::array kKvTypes = {NumberType::kF32, NumberType::kF16, NumberType::kInt8};

// One of `choices` by its name; the other takes "auto" as well, for none. Throw
// Error(kInvalidArgument) that opens with `option` and lists the names.
NumberType ParseNumberType(const std::string& option, std::string_view name,
                           std::span<const NumberType> choices);
std::optional<NumberType> ParseNumberTypeOrAuto(const std::string& option, std::string_view name,
                                                std::span<const NumberType> choices);

// The largest sum of the absolute values of two neighbouring weights of int8, of inputs 2i and
// 2i + 1 of an output, that are multiplied with bytes exactly by instructions which add such
// products in 16 bits: 128 * 255 < 2^15. The quantiser keeps to it; weights that do not take
// longer.
inline constexpr int kMaxInt8PairSum = 128;

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_NUMBER_TYPE_H_
