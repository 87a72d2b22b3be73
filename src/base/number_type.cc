#include "base/number_type.h"

namespace blockformer {

const char* NumberTypeName(NumberType type) {
  switch (type) {
    case NumberType::kF32:
      return "f32";
    case NumberType::kF16:
      return "f16";
    case NumberType::kBf16:
      return "bf16";
    case NumberType::kInt8:
      return "int8";
  }
  return "";
}

int64_t NumberBytes(NumberType type) {
  switch (type) {
    case NumberType::kF32:
      return 4;
    case NumberType::kF16:
    case NumberType::kBf16:
      return 2;
    case NumberType::kInt8:
      return 1;
  }
  return 0;
}

std::optional<NumberType> ParseNumberType(std::string_view name) {
  for (const NumberType type :
       {NumberType::kF32, NumberType::kF16, NumberType::kBf16, NumberType::kInt8}) {
    if (name == NumberTypeName(type)) return type;
  }
  return std::nullopt;
}

}  // namespace blockformer
