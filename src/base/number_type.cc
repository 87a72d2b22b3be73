#include "base/number_type.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr char kWanted[] = "{}: \"{}\" is not known; one of {} is wanted";

std::optional<NumberType> FindByName(std::string_view name, std::span<const NumberType> choices) {
  const auto found = std::ranges::find(choices, name, NumberTypeName);
  if (found == choices.end()) return std::nullopt;
  return *found;
}

std::vector<const char*> Names(std::span<const NumberType> choices) {
  std::vector<const char*> names;
  std::ranges::transform(choices, std::back_inserter(names), NumberTypeName);
  return names;
}

}  // namespace

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

NumberType ParseNumberType(const std::string& option, std::string_view name,
                           std::span<const NumberType> choices) {
  const auto type = FindByName(name, choices);
  Require(type.has_value(), ErrorCode::kInvalidArgument, kWanted, option, name,
          fmt::join(Names(choices), ", "));
  return *type;
}

std::optional<NumberType> ParseNumberTypeOrAuto(const std::string& option, std::string_view name,
                                                std::span<const NumberType> choices) {
  if (name == "auto") return std::nullopt;
  const auto type = FindByName(name, choices);
  Require(type.has_value(), ErrorCode::kInvalidArgument, kWanted, option, name,
          fmt::format("auto, {}", fmt::join(Names(choices), ", ")));
  return type;
}

}  // namespace blockformer
