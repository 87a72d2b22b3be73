#ifndef BLOCKFORMER_TRAIN_PROCESSES_FIELD_DIFFERENCE_H_
#define BLOCKFORMER_TRAIN_PROCESSES_FIELD_DIFFERENCE_H_

#include <string>
#include <vector>

#include "config/json.h"

namespace blockformer::train {

// A field in which two documents differ, and its values as JSON, or "not set".
struct FieldDifference {
  std::string path;  // "section.key"
  std::string first;
  std::string second;
};

std::vector<FieldDifference> FindDifferences(const Json& first, const Json& second);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_PROCESSES_FIELD_DIFFERENCE_H_
