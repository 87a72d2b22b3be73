#include "data/result_fields.h"

#include <fstream>
#include <utility>

#include "base/error.h"
#include "base/system_error.h"
#include "text/utf8.h"

namespace blockformer {

ResultFields::ResultFields(std::string prefix, std::vector<std::string> names)
    : prefix_(std::move(prefix)), names_(std::move(names)) {
  Require(FindInvalidUtf8(prefix_) == prefix_.size(), ErrorCode::kInvalidArgument,
          "`result_prefix`: is not valid UTF-8, as the names of JSON's fields are");
}

void ResultFields::RequireFree(const JsonRecord& record) const {
  for (const std::string& name : names_) {
    const std::string field = prefix_ + name;
    Require(!record.Has(field) && !record.IsNull(field), ErrorCode::kInvalidArgument,
            "{}: has a field \"{}\" already, which is where a result goes; `result_prefix` P puts "
            "P before the names of results",
            record.place(), field);
  }
}

std::string ResultFields::Append(const JsonRecord& record, const OrderedJson& values) const {
  const std::string& line = record.line();
  std::string fields;
  for (const auto& [name, value] : values.items()) {
    fields += fmt::format(",{}:{}", ToText(OrderedJson(prefix_ + name)), ToText(value));
  }
  const size_t last = line.find_last_not_of(" \t\r\n", line.rfind('}') - 1);
  const bool is_empty = line[last] == '{';
  std::string result = line;
  return result.insert(last + 1, fields, is_empty ? 1 : 0);
}

std::optional<std::string> ResultFields::ErrorIn(const std::string& line) const {
  // A quote inside a string has a backslash before it, so that this begins a field; one of an inner
  // object does not end the line.
  const std::string begin = fmt::format(",{}:\"", ToText(OrderedJson(prefix_ + kErrorField)));
  const size_t found = line.rfind(begin);
  const size_t end = line.find_last_not_of(" \t\r\n}");
  if (found == std::string::npos || end == std::string::npos) return std::nullopt;
  const size_t value = found + begin.size() - 1;
  const Json message = Json::parse(line.substr(value, end + 1 - value), nullptr,
                                   /*allow_exceptions=*/false);
  if (!message.is_string() || line.find('}', end) != line.rfind('}')) return std::nullopt;
  return message.get<std::string>();
}

void ResultErrors::Add(const std::string& line) {
  ++lines_;
  const std::optional<std::string> message = fields_.ErrorIn(line);
  if (message && errors_++ == 0) first_ = fmt::format("line {}: {}", lines_, *message);
}

void ResultErrors::AddFile(const std::string& path) {
  if (path.empty()) return;
  std::ifstream stream(path);
  if (!stream.is_open()) FailSystem("read", path);
  for (std::string line; std::getline(stream, line);) Add(line);
  if (stream.bad()) FailSystem("read", path);
}

void ResultErrors::RequireNone(const std::string& output) const {
  Require(errors_ == 0, ErrorCode::kCorrupt, "{}: {} of {} texts failed; the first, {}", output,
          errors_, lines_, first_);
}

}  // namespace blockformer
