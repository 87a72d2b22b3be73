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

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_NUMBER_TYPE_H_
