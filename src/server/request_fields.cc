#include "server/request_fields.h"

#include <fmt/format.h>

#include "server/api_error.h"
#include "text/utf8.h"

namespace blockformer {

Json ParseBody(const std::string& body) {
  try {
    Json json = ParseJson(body, "the body");
    if (!json.is_object()) throw ApiError(400, "the body is not a JSON object");
    return json;
  } catch (const Error& error) {
    throw ApiError(400, error.what());
  }
}

std::string QuoteValue(const Json& value) {
  constexpr size_t kMost = 80;
  std::string text = ToText(value);
  if (text.size() <= kMost) return text;
  text.resize(kMost);
  while (FindInvalidUtf8(text) != text.size()) text.pop_back();
  return text + "...";
}

RequestFields::RequestFields(const Json& object, std::string path)
    : object_(object), path_(std::move(path)) {
  if (!object_.is_object()) FailField(path_, QuoteValue(object_) + " is not an object");
}

std::string RequestFields::FullName(const std::string& name) const {
  return path_.empty() ? name : fmt::format("{}.{}", path_, name);
}

const Json* RequestFields::Find(const std::string& name) {
  known_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<int64_t> RequestFields::Int(const std::string& name, int64_t min, int64_t max) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  // Unsigned numbers beyond int64_t are out of every range that is asked for.
  const bool fits = value->is_number_integer() &&
                    !(value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{INT64_MAX});
  if (!fits || value->get<int64_t>() < min || value->get<int64_t>() > max) {
    FailField(FullName(name),
              fmt::format("{} is not an integer of {} to {}", QuoteValue(*value), min, max));
  }
  return value->get<int64_t>();
}

std::optional<double> RequestFields::Number(const std::string& name, double min, double max) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !(value->get<double>() >= min && value->get<double>() <= max)) {
    FailField(FullName(name),
              fmt::format("{} is not a number of {} to {}", QuoteValue(*value), min, max));
  }
  return value->get<double>();
}

bool RequestFields::Bool(const std::string& name, bool fallback) {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    FailField(FullName(name), QuoteValue(*value) + " is neither true nor false");
  }
  return value->get<bool>();
}

std::optional<std::string> RequestFields::String(const std::string& name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) FailField(FullName(name), QuoteValue(*value) + " is not a text");
  return value->get<std::string>();
}

std::string RequestFields::RequiredString(const std::string& name) {
  const std::optional<std::string> value = String(name);
  if (!value) FailField(FullName(name), "is missing; a text is wanted");
  return *value;
}

std::vector<std::string> RequestFields::Texts(const std::string& name, size_t max_count) {
  const Json* value = Find(name);
  if (value == nullptr) return {};
  if (value->is_string()) return {value->get<std::string>()};
  if (!value->is_array()) {
    FailField(FullName(name), QuoteValue(*value) + " is neither a text nor a list of texts");
  }
  if (value->size() > max_count) {
    FailField(FullName(name),
              fmt::format("has {} texts; at most {} are taken", value->size(), max_count));
  }
  std::vector<std::string> texts;
  for (const Json& text : *value) {
    if (!text.is_string()) FailField(FullName(name), QuoteValue(text) + " in it is not a text");
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

std::vector<int32_t> RequestFields::Ids(const std::string& name, size_t max_count,
                                        int64_t vocab_size) {
  const Json* value = Find(name);
  if (value == nullptr) return {};
  if (!value->is_array() || value->size() > max_count) {
    FailField(FullName(name), fmt::format("{} is not a list of at most {} token ids",
                                          QuoteValue(*value), max_count));
  }
  return ReadIds(*value, FullName(name), vocab_size);
}

std::vector<int32_t> ReadIds(const Json& list, const std::string& field, int64_t vocab_size) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& id : list) {
    const bool is_id =
        id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(vocab_size);
    if (!is_id) {
      FailField(field, fmt::format("{} in it is not a token id of 0 to {}", QuoteValue(id),
                                   vocab_size - 1));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

void RequestFields::AcceptOnly(const std::string& name, const std::string& allowed,
                               const std::function<bool(const Json&)>& is_allowed) {
  const Json* value = Find(name);
  if (value != nullptr && !is_allowed(*value)) {
    FailField(FullName(name),
              fmt::format("{} is not supported; {} is taken", QuoteValue(*value), allowed));
  }
}

void RequestFields::RejectUnknown() const {
  for (const auto& [name, value] : object_.items()) {
    if (!known_.contains(name)) {
      constexpr size_t kMostShown = 80;
      FailField(FullName(name.size() <= kMostShown ? name : QuoteValue(name)),
                "this field is not supported");
    }
  }
}

}  // namespace blockformer
