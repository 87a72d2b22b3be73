#ifndef BLOCKFORMER_CONFIG_FIELD_DIFFERENCE_H_
#define BLOCKFORMER_CONFIG_FIELD_DIFFERENCE_H_

#include <optional>
#include <string>
#include <vector>

#include "config/json.h"

namespace blockformer {

// A field in which two documents differ.
struct FieldDifference {
  std::string pointer;  // "/section/key" (RFC 6901); empty for all of it
  std::string path;     // "section.key"; "all of it"
  // The values as JSON; none where the field is not there.
  std::optional<std::string> first;
  std::optional<std::string> second;
};

// Sections that both have are compared field by field.
std::vector<FieldDifference> FindDifferences(const Json& first, const Json& second);

}  // namespace blockformer

#endif  // BLOCKFORMER_CONFIG_FIELD_DIFFERENCE_H_
