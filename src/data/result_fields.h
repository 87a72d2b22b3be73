#ifndef BLOCKFORMER_DATA_RESULT_FIELDS_H_
#define BLOCKFORMER_DATA_RESULT_FIELDS_H_

#include <string>
#include <vector>

#include "config/json.h"

namespace blockformer {

// The fields that a command adds to the records of a file when it copies them. All that a record
// holds is kept as it is written there, and no field of it is ever overwritten. Immutable.
class ResultFields {
 public:
  // `names`: those that may be added, each with `prefix` before it in the file. Throws
  // Error(kInvalidArgument) that names the flag --result-prefix for a prefix that is not UTF-8.
  ResultFields(std::string prefix, std::vector<std::string> names);

  // Throws Error(kInvalidArgument) that opens with `place` if a record has one of the fields.
  void RequireFree(const Json& record, const std::string& place) const;

  // `line`, the JSON text of a record for which RequireFree() holds, with `values` behind its own
  // fields: an object of some of the names. The other bytes are those of `line`.
  std::string Append(const std::string& line, const OrderedJson& values) const;

 private:
  std::string prefix_;
  std::vector<std::string> names_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_RESULT_FIELDS_H_
