#ifndef BLOCKFORMER_DATA_JSON_RECORD_H_
#define BLOCKFORMER_DATA_JSON_RECORD_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "config/json.h"
#include "text/tokenizer.h"

namespace blockformer {

// A line of a file of JSON lines: an object of which some fields are used. The others only have to
// be delimited as JSON's values are: unpaired surrogates, bytes that are not UTF-8, NaN, Infinity,
// numbers of any length and values nested to any depth may stand in them. Immutable.
class JsonRecord {
 public:
  // A record of nothing, only to be assigned to.
  JsonRecord() = default;
  // `place` (FILE:LINE) opens every message. Throws Error: kCorrupt for what is not JSON,
  // kInvalidArgument for what is no object. Time and memory are linear in the length of the line.
  JsonRecord(std::string line, std::string place);

  bool Has(std::string_view name) const;     // true if present and not null
  bool IsNull(std::string_view name) const;  // true if present and null

  // The string in a field. Throws Error that names the place and the field: kInvalidArgument if it
  // is missing or no string, kCorrupt if it stands twice or, unless they are to be replaced by
  // U+FFFD, for unpaired surrogates and invalid UTF-8.
  std::string Text(std::string_view name, InvalidUtf8 invalid_utf8) const;

  // All of the object. Fields that cannot be represented (see above) are left out; `left_out` gets
  // the message of the first of them, or "". Throws Error(kCorrupt) for a field that stands twice.
  Json ToJson(InvalidUtf8 invalid_utf8, std::string* left_out) const;

  const std::string& line() const { return line_; }  // as it came
  const std::string& place() const { return place_; }

 private:
  struct Field {
    std::string name;
    size_t begin = 0;  // of the value in line_
    size_t end = 0;
  };

  // Null if there is none. Throws Error(kCorrupt) if there are two.
  const Field* Find(std::string_view name) const;
  [[noreturn]] void FailTwice(std::string_view name) const;
  void RequireDistinctFields() const;
  std::string_view ValueOf(const Field& field) const;
  std::string Decode(const Field& field, InvalidUtf8 invalid_utf8) const;

  std::string line_;
  std::string place_;
  std::vector<Field> fields_;
};

// Whether this is a text of JSON lines: its first line is an object, and all lines that are not
// blank begin as one.
bool LooksLikeJsonLines(std::string_view text);

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_JSON_RECORD_H_
