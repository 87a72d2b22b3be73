#include "train/processes/field_difference.h"

#include <algorithm>

namespace blockformer::train {
namespace {

std::string ValueAt(const Json& document, const Json::json_pointer& path) {
  return document.contains(path) ? document[path].dump() : "not set";
}

}  // namespace

std::vector<FieldDifference> FindDifferences(const Json& first, const Json& second) {
  std::vector<FieldDifference> differences;
  for (const Json& change : Json::diff(first, second)) {
    const std::string pointer = change["path"];  // "/section/key"; empty for all of it
    const Json::json_pointer path(pointer);
    std::string dotted = pointer.empty() ? "all of it" : pointer.substr(1);
    std::ranges::replace(dotted, '/', '.');
    differences.push_back({dotted, ValueAt(first, path), ValueAt(second, path)});
  }
  return differences;
}

}  // namespace blockformer::train
