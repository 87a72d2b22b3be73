#ifndef BLOCKFORMER_SERVER_REQUEST_FIELDS_H_
#define BLOCKFORMER_SERVER_REQUEST_FIELDS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/json.h"

namespace blockformer {

// Parses the body of a request. Throws ApiError(400) for what is not one JSON object (see
// ParseJson).
Json ParseBody(const std::string& body);

// Reads the fields of an object of a request. Null is as if the field were not there. All functions
// throw ApiError(400) that names the field; RejectUnknown() does so for a field that nobody has
// asked for.
class RequestFields {
 public:
  // `object` outlives the reader. `path` is the field that holds it, empty at the top. Throws if it
  // is no object.
  explicit RequestFields(const Json& object, std::string path = "");

  // The field's value, or null if there is none.
  const Json* Find(const std::string& name);
  std::optional<int64_t> Int(const std::string& name, int64_t min, int64_t max);
  std::optional<double> Number(const std::string& name, double min, double max);
  bool Bool(const std::string& name, bool fallback);
  std::optional<std::string> String(const std::string& name);
  std::string RequiredString(const std::string& name);
  // A text or a list of texts; empty if there is none.
  std::vector<std::string> Texts(const std::string& name, size_t max_count);
  std::vector<int32_t> Ids(const std::string& name, size_t max_count, int64_t vocab_size);

  // Takes a field of OpenAI's interface only with values that change nothing.
  void AcceptOnly(const std::string& name, const std::string& allowed,
                  const std::function<bool(const Json&)>& is_allowed);
  void RejectUnknown() const;

  // The field's name behind those of all objects around it, such as "messages[0].role".
  std::string FullName(const std::string& name) const;

 private:
  const Json& object_;
  std::string path_;
  std::set<std::string> known_;
};

// The ids of a list; `field` names it.
std::vector<int32_t> ReadIds(const Json& list, const std::string& field, int64_t vocab_size);

// A value as it stands in an error message, cut if it is long.
std::string QuoteValue(const Json& value);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_REQUEST_FIELDS_H_
