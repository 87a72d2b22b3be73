#include "data/result_fields.h"

#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace blockformer {

ResultFields::ResultFields(std::string prefix, std::vector<std::string> names)
    : prefix_(std::move(prefix)), names_(std::move(names)) {
  Require(FindInvalidUtf8(prefix_) == prefix_.size(), ErrorCode::kInvalidArgument,
          "--result-prefix: is not valid UTF-8, as the names of JSON's fields are");
}

void ResultFields::RequireFree(const Json& record, const std::string& place) const {
  for (const std::string& name : names_) {
    Require(!record.contains(prefix_ + name), ErrorCode::kInvalidArgument,
            "{}: has a field \"{}\" already, which is where a result goes; --result-prefix P puts "
            "P before the names of results",
            place, prefix_ + name);
  }
}

std::string ResultFields::Append(const std::string& line, const OrderedJson& values) const {
  std::string fields;
  for (const auto& [name, value] : values.items()) {
    fields += fmt::format(",{}:{}", ToText(OrderedJson(prefix_ + name)), ToText(value));
  }
  const size_t last = line.find_last_not_of(" \t\r\n", line.rfind('}') - 1);
  const bool is_empty = line[last] == '{';
  std::string result = line;
  return result.insert(last + 1, fields, is_empty ? 1 : 0);
}

}  // namespace blockformer
