#include "config/json.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxProblemLength = 300;
constexpr size_t kMaxShownValue = 80;

// Builds the document and refuses what nlohmann's own reader would accept in silence.
class StrictHandler : public nlohmann::detail::json_sax_dom_parser<Json> {
 public:
  using Base = nlohmann::detail::json_sax_dom_parser<Json>;

  StrictHandler(Json& result, const std::string& source) : Base(result, true), source_(source) {}

  bool start_object(std::size_t size) {
    Open();
    keys_.emplace_back();
    return Base::start_object(size);
  }
  bool end_object() {
    --depth_;
    keys_.pop_back();
    return Base::end_object();
  }
  bool start_array(std::size_t size) {
    Open();
    return Base::start_array(size);
  }
  bool end_array() {
    --depth_;
    return Base::end_array();
  }
  bool key(std::string& name) {
    Require(keys_.back().insert(name).second, ErrorCode::kCorrupt,
            "{}: the key \"{}\" stands twice in one object; keep one of them", source_, name);
    return Base::key(name);
  }

 private:
  void Open() {
    Require(++depth_ <= kMaxDepth, ErrorCode::kCorrupt,
            "{}: nested deeper than the {} levels that are read", source_, kMaxDepth);
  }

  const std::string& source_;
  int depth_ = 0;
  std::vector<std::unordered_set<std::string>> keys_;
};

// A value in a message: lists may be long.
std::string Shown(const Json& value) {
  std::string text = ToText(value);
  if (text.size() <= kMaxShownValue) return text;
  return text.substr(0, kMaxShownValue) + "...";
}

bool IsIntegerWithin(const Json& value, int64_t min, int64_t max) {
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX);
  return fits && value.get<int64_t>() >= min && value.get<int64_t>() <= max;
}

}  // namespace

Json ParseJson(std::string_view text, const std::string& source) {
  // The library takes one for the end of the text.
  const size_t nul = text.find('\0');
  Require(nul == std::string_view::npos, ErrorCode::kCorrupt,
          "{}: not valid JSON: byte {} is 0, which JSON text cannot hold", source, nul);
  Json result;
  StrictHandler handler(result, source);
  try {
    Json::sax_parse(text, &handler);
  } catch (const Json::exception& error) {
    // The library's text is "[json.exception.NAME.NUMBER] parse error at line ...".
    std::string what = error.what();
    what.erase(0, what.find("] ") + 2);
    // It quotes the whole of a string that does not end, which may be a book.
    if (what.size() > kMaxProblemLength)
      what.erase(std::min(kMaxProblemLength, what.find("; last read")));
    Fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", source, what);
  }
  return result;
}

std::string ToText(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string ToText(const OrderedJson& json, int indent) {
  return json.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

Json ReadJsonFile(const std::string& path) { return ParseJson(ReadFile(path), path); }

ObjectReader::ObjectReader(const Json& object, std::string source, std::string path)
    : object_(object), source_(std::move(source)), path_(std::move(path)) {
  Require(object.is_object(), ErrorCode::kInvalidArgument, "{}: {}: an object is wanted, not {}",
          source_, path_.empty() ? "the top level" : path_, object.type_name());
}

std::string ObjectReader::FullName(const std::string& key) const {
  return path_.empty() ? key : path_ + "." + key;
}

void ObjectReader::FailField(const std::string& key, const std::string& problem,
                             ErrorCode code) const {
  Fail(code, "{}: {}: {}", source_, FullName(key), problem);
}

void ObjectReader::FailChoice(const std::string& key, const std::string& value,
                              const std::vector<std::string>& names) const {
  FailField(key,
            fmt::format("\"{}\" is not known; one of {} is wanted", value, fmt::join(names, ", ")));
}

const Json& ObjectReader::Raw(const std::string& key) const {
  static const Json null;
  known_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() ? null : *found;
}

bool ObjectReader::Has(const std::string& key) const { return !Raw(key).is_null(); }

const Json& ObjectReader::Required(const std::string& key) const {
  const Json& value = Raw(key);
  if (value.is_null()) FailField(key, "is missing");
  return value;
}

int64_t ObjectReader::Int(const std::string& key, int64_t min, int64_t max) const {
  const Json& value = Required(key);
  if (!IsIntegerWithin(value, min, max)) {
    FailField(key, fmt::format("{} is not possible; an integer from {} to {} is wanted",
                               Shown(value), min, max));
  }
  return value.get<int64_t>();
}

int64_t ObjectReader::Int(const std::string& key, int64_t min, int64_t max,
                          int64_t fallback) const {
  return Has(key) ? Int(key, min, max) : fallback;
}

std::vector<int64_t> ObjectReader::Ints(const std::string& key, int64_t min, int64_t max) const {
  const Json& value = Required(key);
  if (!value.is_array()) return {Int(key, min, max)};
  const bool right = !value.empty() && std::all_of(value.begin(), value.end(), [&](const Json& e) {
    return IsIntegerWithin(e, min, max);
  });
  if (!right) {
    FailField(key, fmt::format("{} is not possible; an integer from {} to {} is wanted, or a list "
                               "of such",
                               Shown(value), min, max));
  }
  return value.get<std::vector<int64_t>>();
}

double ObjectReader::Number(const std::string& key, double min, double max) const {
  const Json& value = Required(key);
  if (!value.is_number() || !(value.get<double>() >= min && value.get<double>() <= max)) {
    FailField(key, fmt::format("{} is not possible; a number from {} to {} is wanted", Shown(value),
                               min, max));
  }
  return value.get<double>();
}

double ObjectReader::Number(const std::string& key, double min, double max, double fallback) const {
  return Has(key) ? Number(key, min, max) : fallback;
}

bool ObjectReader::Bool(const std::string& key) const {
  const Json& value = Required(key);
  if (!value.is_boolean()) {
    FailField(key, fmt::format("{} is not possible; true or false is wanted", Shown(value)));
  }
  return value.get<bool>();
}

bool ObjectReader::Bool(const std::string& key, bool fallback) const {
  return Has(key) ? Bool(key) : fallback;
}

std::string ObjectReader::String(const std::string& key) const {
  const Json& value = Required(key);
  if (!value.is_string()) {
    const std::string shown = Shown(value);
    const bool is_scalar = value.is_number() || value.is_boolean();
    FailField(key, fmt::format("{} is not possible; a string is wanted{}", shown,
                               is_scalar ? fmt::format(", \"{}\" with its quotes", shown) : ""));
  }
  return value.get<std::string>();
}

std::string ObjectReader::String(const std::string& key, const std::string& fallback) const {
  return Has(key) ? String(key) : fallback;
}

std::vector<std::string> ObjectReader::Strings(const std::string& key) const {
  const Json& value = Required(key);
  std::vector<std::string> result;
  const bool right = value.is_array() && std::all_of(value.begin(), value.end(),
                                                     [](const Json& e) { return e.is_string(); });
  if (!right) FailField(key, "a list of strings is wanted");
  for (const Json& element : value) result.push_back(element.get<std::string>());
  return result;
}

ObjectReader ObjectReader::Object(const std::string& key) const {
  return ObjectReader(Required(key), source_, FullName(key));
}

void ObjectReader::RejectUnknown() const {
  for (const auto& [key, value] : object_.items()) {
    if (IsKnown(key)) continue;
    FailField(key, fmt::format("is not known here; known are {}", fmt::join(known_, ", ")));
  }
}

}  // namespace blockformer
