#ifndef BLOCKFORMER_DATA_RESULT_FIELDS_H_
#define BLOCKFORMER_DATA_RESULT_FIELDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/json.h"
#include "data/json_record.h"

namespace blockformer {

// The name of the field that says why a record has no result. It is the last of those added.
inline constexpr char kErrorField[] = "error";

// The fields that a command adds to the records of a file when it copies them. All that a record
// holds is kept as it is written there, and no field of it is ever overwritten. Immutable.
class ResultFields {
 public:
  // `names`: those that may be added, each with `prefix` before it in the file. Throws
  // Error(kInvalidArgument) that names the flag --result-prefix for a prefix that is not UTF-8.
  ResultFields(std::string prefix, std::vector<std::string> names);

  // Throws Error(kInvalidArgument) that opens with the record's place if it has one of the fields.
  void RequireFree(const JsonRecord& record) const;

  // The line of a record for which RequireFree() holds, with `values` behind its own fields: an
  // object of some of the names. All that the line holds is kept byte for byte.
  std::string Append(const JsonRecord& record, const OrderedJson& values) const;

  // The value of kErrorField in a line that Append() made, if it has one.
  std::optional<std::string> ErrorIn(const std::string& line) const;

 private:
  std::string prefix_;
  std::vector<std::string> names_;
};

// Counts the lines of an output that say why they have no result. Not thread-safe.
class ResultErrors {
 public:
  explicit ResultErrors(const ResultFields& fields) : fields_(fields) {}

  // Counts the next line of the output.
  void Add(const std::string& line);
  // The same for all lines of a file, which an earlier run wrote; none if `path` is empty.
  void AddFile(const std::string& path);

  // Throws Error(kCorrupt) that opens with `output`: how many of how many texts failed, and the
  // first one's number and message.
  void RequireNone(const std::string& output) const;

 private:
  const ResultFields& fields_;
  int64_t lines_ = 0;
  int64_t errors_ = 0;
  std::string first_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_RESULT_FIELDS_H_
