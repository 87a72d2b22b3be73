#include "text/template_functions.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "text/python_text.h"

namespace blockformer {
namespace {

using Arguments = std::vector<Json>;

constexpr size_t kMaxQuoteBytes = 80;
constexpr size_t kMaxPieces = size_t{1} << 20;

const std::string& TextOf(const Json& value) { return StringIn(value, "the value before it"); }

template <std::string_view (*strip)(std::string_view)>
Json StripCall(const Json& value, const Arguments&) {
  return std::string(strip(TextOf(value)));
}

template <std::string (*map)(std::string_view)>
Json MapCall(const Json& value, const Arguments&) {
  return map(TextOf(value));
}

// A list of pieces takes many times the memory of the text.
Json Split(const Json& value, const Arguments& arguments) {
  const std::string& text = TextOf(value);
  size_t max_splits = kMaxPieces;
  if (arguments.size() > 1) {
    const int64_t wanted = IntegerIn(arguments[1], "the number of splits");
    if (wanted >= 0) max_splits = std::min(max_splits, static_cast<size_t>(wanted));
  }
  std::vector<std::string> pieces;
  if (arguments.empty()) {
    pieces = SplitAtSpace(text, max_splits);
  } else {
    const std::string& separator = StringIn(arguments[0], "the separator");
    Require(!separator.empty(), ErrorCode::kInvalidArgument, "the separator is empty");
    pieces = SplitText(text, separator, max_splits);
  }
  Require(pieces.size() <= kMaxPieces, ErrorCode::kExhausted, "makes more than {} pieces",
          kMaxPieces);
  return pieces;
}

Json Index(const Json& value, const Arguments& arguments) {
  const Json& wanted = arguments[0];
  if (value.is_array()) {
    const auto found = std::find(value.begin(), value.end(), wanted);
    Require(found != value.end(), ErrorCode::kInvalidArgument, "the list does not hold {}",
            Quote(wanted));
    return found - value.begin();
  }
  const std::string& text = TextOf(value);
  const size_t found = text.find(StringIn(wanted, "what is looked for"));
  Require(found != std::string::npos, ErrorCode::kInvalidArgument, "the string does not hold {}",
          Quote(wanted));
  return CountCharacters(std::string_view(text).substr(0, found));
}

Json Replace(const Json& value, const Arguments& arguments) {
  const std::string& text = TextOf(value);
  const std::string& from = StringIn(arguments[0], "what is replaced");
  const std::string& to = StringIn(arguments[1], "the replacement");
  Require(!from.empty(), ErrorCode::kInvalidArgument, "what is replaced is empty");
  const size_t most = text.size() / from.size() + 1;
  Require(to.size() <= kMaxTemplateBytes / most, ErrorCode::kExhausted,
          "may make more than {} bytes", kMaxTemplateBytes);
  return ReplaceAll(text, from, to);
}

Json Join(const Json& value, const Arguments& arguments) {
  Require(value.is_array(), ErrorCode::kInvalidArgument,
          "the value before it is {}; a list is wanted", KindOf(value));
  const std::string separator = arguments.empty() ? "" : StringIn(arguments[0], "the separator");
  std::string result;
  for (size_t i = 0; i < value.size(); ++i) {
    if (i > 0) result += separator;
    result += ToTemplateText(value[i]);
    Require(result.size() <= kMaxTemplateBytes, ErrorCode::kExhausted, "makes more than {} bytes",
            kMaxTemplateBytes);
  }
  return result;
}

Json Length(const Json& value, const Arguments&) {
  if (value.is_array() || value.is_object()) return value.size();
  return CountCharacters(TextOf(value));
}

constexpr TemplateFunction kMethods[] = {
    {"split", 0, 2, Split},
    {"strip", 0, 0, StripCall<Strip>},
    {"lstrip", 0, 0, StripCall<StripStart>},
    {"rstrip", 0, 0, StripCall<StripEnd>},
    {"index", 1, 1, Index},
    {"replace", 2, 2, Replace},
    {"lower", 0, 0, MapCall<LowerCase>},
    {"upper", 0, 0, MapCall<UpperCase>},
    {"capitalize", 0, 0, MapCall<Capitalize>},
};
constexpr TemplateFunction kFilters[] = {
    {"join", 0, 1, Join},
    {"trim", 0, 0, StripCall<Strip>},
    {"lower", 0, 0, MapCall<LowerCase>},
    {"upper", 0, 0, MapCall<UpperCase>},
    {"capitalize", 0, 0, MapCall<Capitalize>},
    {"length", 0, 0, Length},
    {"replace", 2, 2, Replace},
};

}  // namespace

std::span<const TemplateFunction> TemplateMethods() { return kMethods; }

std::span<const TemplateFunction> TemplateFilters() { return kFilters; }

std::string_view KindOf(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_string()) return "a string";
  if (value.is_boolean()) return "a truth value";
  if (value.is_number_integer()) return "an integer";
  if (value.is_number()) return "a number";
  return value.is_array() ? "a list" : "an object";
}

std::string Quote(const Json& value) {
  if (value.is_structured()) return "the value";
  if (!value.is_string()) return ToText(value);
  return ToText(Json(value.get_ref<const std::string&>().substr(0, kMaxQuoteBytes)));
}

std::string ToTemplateText(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  Require(value.is_number(), ErrorCode::kInvalidArgument,
          "{} cannot stand in a text; a string or a number is wanted", KindOf(value));
  return ToText(value);
}

const std::string& StringIn(const Json& value, std::string_view what) {
  Require(value.is_string(), ErrorCode::kInvalidArgument, "{} is {}; a string is wanted", what,
          KindOf(value));
  return value.get_ref<const std::string&>();
}

int64_t IntegerIn(const Json& value, std::string_view what) {
  Require(value.is_number_integer(), ErrorCode::kInvalidArgument, "{} is {}; an integer is wanted",
          what, KindOf(value));
  const bool fits = !value.is_number_unsigned() ||
                    value.get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()};
  Require(fits, ErrorCode::kInvalidArgument, "{} is {}, which is too large", what, ToText(value));
  return value.get<int64_t>();
}

}  // namespace blockformer
