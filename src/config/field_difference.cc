#include "config/field_difference.h"

#include <algorithm>

namespace blockformer {
namespace {

std::optional<std::string> ValueAt(const Json& document, const Json::json_pointer& pointer) {
  if (!document.contains(pointer)) return std::nullopt;
  return document[pointer].dump();
}

std::string PathOf(const std::string& pointer) {
  if (pointer.empty()) return "all of it";
  std::string path = pointer.substr(1);
  std::ranges::replace(path, '/', '.');
  return path;
}

}  // namespace

std::vector<FieldDifference> FindDifferences(const Json& first, const Json& second) {
  std::vector<FieldDifference> differences;
  for (const Json& change : Json::diff(first, second)) {
    const std::string pointer = change["path"];
    const Json::json_pointer place(pointer);
    differences.push_back(
        {pointer, PathOf(pointer), ValueAt(first, place), ValueAt(second, place)});
  }
  return differences;
}

}  // namespace blockformer
