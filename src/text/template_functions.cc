#include "text/template_functions.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

using Arguments = std::vector<Json>;

constexpr size_t kMaxQuoteBytes = 80;
constexpr size_t kMaxPieces = size_t{1} << 20;

const std::string& TextOf(const Json& value) { return StringIn(value, "the value before it"); }

Json::const_iterator FindValue(const Json& list, const Json& wanted) {
  return std::find_if(list.begin(), list.end(),
                      [&](const Json& element) { return EqualTemplateValues(element, wanted); });
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
    const auto found = FindValue(value, wanted);
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

template <std::string_view (*strip)(std::string_view), bool at_start, bool at_end>
Json StripCharacters(const Json& value, const Arguments& arguments) {
  std::string_view text = TextOf(value);
  if (arguments.empty()) return std::string(strip(text));
  const std::string& characters = StringIn(arguments[0], "what is stripped");
  const auto is_stripped = [&](std::string_view character) {
    return characters.find(character) != std::string::npos;
  };
  const auto next = [&](size_t begin) {
    size_t end = begin;
    NextCodePoint(text, &end);
    return end;
  };
  while (at_start && !text.empty() && is_stripped(text.substr(0, next(0)))) {
    text.remove_prefix(next(0));
  }
  while (at_end && !text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!is_stripped(text.substr(begin))) break;
    text = text.substr(0, begin);
  }
  return std::string(text);
}

Json StartsWith(const Json& value, const Arguments& arguments) {
  return TextOf(value).starts_with(StringIn(arguments[0], "the beginning"));
}

Json EndsWith(const Json& value, const Arguments& arguments) {
  return TextOf(value).ends_with(StringIn(arguments[0], "the end"));
}

Json Find(const Json& value, const Arguments& arguments) {
  const std::string& text = TextOf(value);
  const size_t found = text.find(StringIn(arguments[0], "what is looked for"));
  if (found == std::string::npos) return -1;
  return CountCharacters(std::string_view(text).substr(0, found));
}

std::string Title(std::string_view text) {
  std::string result;
  bool in_word = false;
  for (size_t position = 0; position < text.size();) {
    const size_t begin = position;
    NextCodePoint(text, &position);
    const std::string_view character = text.substr(begin, position - begin);
    const bool is_letter = LowerCase(character) != UpperCase(character);
    result += in_word ? LowerCase(character) : UpperCase(character);
    in_word = is_letter;
  }
  return result;
}

const Json& ObjectIn(const Json& value) {
  Require(value.is_object(), ErrorCode::kInvalidArgument,
          "the value before it is {}; an object is wanted", KindOf(value));
  return value;
}

Json Items(const Json& value, const Arguments&) {
  Json list = Json::array();
  for (const auto& [key, element] : ObjectIn(value).items()) {
    Json pair = Json::array();
    pair.push_back(key);
    pair.push_back(element);
    list.push_back(std::move(pair));
  }
  return list;
}

Json Keys(const Json& value, const Arguments&) {
  Json list = Json::array();
  for (const auto& [key, element] : ObjectIn(value).items()) list.push_back(key);
  return list;
}

Json Values(const Json& value, const Arguments&) {
  Json list = Json::array();
  for (const auto& element : ObjectIn(value)) list.push_back(element);
  return list;
}

Json Get(const Json& value, const Arguments& arguments) {
  const auto found = ObjectIn(value).find(StringIn(arguments[0], "the name of a field"));
  if (found != value.end()) return *found;
  return arguments.size() > 1 ? arguments[1] : Json();
}

// The elements of a list, the names of an object or the characters of a string.
Json ListOf(const Json& value, const Arguments& arguments) {
  if (value.is_array()) return value;
  if (value.is_object()) return Keys(value, arguments);
  Json list = Json::array();
  const std::string& text = TextOf(value);
  for (size_t position = 0; position < text.size();) {
    const size_t begin = position;
    NextCodePoint(text, &position);
    list.push_back(text.substr(begin, position - begin));
  }
  return list;
}

Json First(const Json& value, const Arguments& arguments) {
  const Json list = ListOf(value, arguments);
  return list.empty() ? Json(Json::value_t::discarded) : list.front();
}

Json Last(const Json& value, const Arguments& arguments) {
  const Json list = ListOf(value, arguments);
  return list.empty() ? Json(Json::value_t::discarded) : list.back();
}

Json Reverse(const Json& value, const Arguments& arguments) {
  Json list = ListOf(value, arguments);
  std::reverse(list.begin(), list.end());
  return list;
}

Json Unique(const Json& value, const Arguments& arguments) {
  constexpr size_t kMostCompared = 4096;
  Json list = Json::array();
  for (const Json& element : ListOf(value, arguments)) {
    Require(list.size() < kMostCompared, ErrorCode::kExhausted, "more than {} elements differ",
            kMostCompared);
    if (FindValue(list, element) == list.end()) list.push_back(element);
  }
  return list;
}

Json ToStringCall(const Json& value, const Arguments&) {
  return value.is_null() ? Json("None") : Json(ToTemplateText(value));
}

int64_t ToInteger(double value) {
  constexpr double kBeyond = 9223372036854775808.0;  // 2^63
  Require(std::abs(value) < kBeyond, ErrorCode::kUnsupported, "{} is no integer of 64 bits", value);
  return static_cast<int64_t>(value);
}

template <typename Number>
bool ParseWhole(std::string_view text, Number* value) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && stop == text.data() + text.size();
}

Json ToIntegerCall(const Json& value, const Arguments&) {
  if (value.is_number_integer()) return value;
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  if (value.is_number()) return ToInteger(value.get<double>());
  const std::string_view text = Strip(TextOf(value));
  int64_t integer = 0;
  if (ParseWhole(text, &integer)) return integer;
  double number = 0;
  return ParseWhole(text, &number) ? ToInteger(number) : 0;  // Jinja2's default
}

Json Absolute(const Json& value, const Arguments&) {
  if (value.is_number_float()) return std::abs(value.get<double>());
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  const int64_t integer = IntegerIn(value, "the value before it");
  Require(integer != std::numeric_limits<int64_t>::min(), ErrorCode::kUnsupported,
          "{} has no absolute value of 64 bits", integer);
  return std::abs(integer);
}

Json Same(const Json& value, const Arguments&) { return value; }

// Python's json.dumps(value, ensure_ascii=False, indent=indent), with names in order.
void DumpJson(const Json& value, int64_t indent, int64_t depth, std::string* out) {
  if (!value.is_structured()) {
    *out += ToText(value);
    return;
  }
  const char* close = value.is_array() ? "]" : "}";
  *out += value.is_array() ? "[" : "{";
  const auto line = [&](int64_t level) {
    if (indent >= 0) out->append("\n").append(indent * level, ' ');
  };
  bool is_first = true;
  for (const auto& [key, element] : value.items()) {
    if (!is_first) *out += indent >= 0 ? "," : ", ";
    is_first = false;
    line(depth + 1);
    if (value.is_object()) *out += ToText(Json(key)) + ": ";
    DumpJson(element, indent, depth + 1, out);
    Require(out->size() <= kMaxTemplateBytes, ErrorCode::kExhausted, "makes more than {} bytes",
            kMaxTemplateBytes);
  }
  if (!is_first) line(depth);
  *out += close;
}

Json ToJsonText(const Json& value, const Arguments& arguments) {
  constexpr int64_t kMaxIndent = 16;
  int64_t indent = -1;
  if (!arguments.empty() && !arguments[0].is_null()) {
    indent = std::clamp<int64_t>(IntegerIn(arguments[0], "the indent"), 0, kMaxIndent);
  }
  std::string text;
  DumpJson(value, indent, 0, &text);
  return text;
}

// All lines but the first, or with a second argument all, begin with so many spaces.
Json Indent(const Json& value, const Arguments& arguments) {
  constexpr int64_t kMaxWidth = 256;
  const int64_t width =
      arguments.empty() ? 4
                        : std::clamp<int64_t>(IntegerIn(arguments[0], "the width"), 0, kMaxWidth);
  const std::string space(width, ' ');
  std::string text = arguments.size() > 1 && IsTrue(arguments[1]) ? space : "";
  const std::string& lines = TextOf(value);
  for (size_t i = 0; i < lines.size(); ++i) {
    text += lines[i];
    const bool is_blank = i + 1 == lines.size() || lines[i + 1] == '\n';
    if (lines[i] == '\n' && !is_blank) text += space;
    Require(text.size() <= kMaxTemplateBytes, ErrorCode::kExhausted, "makes more than {} bytes",
            kMaxTemplateBytes);
  }
  return text;
}

Json Length(const Json& value, const Arguments&) {
  if (value.is_array() || value.is_object()) return value.size();
  return CountCharacters(TextOf(value));
}

constexpr TemplateFunction kMethods[] = {
    {"split", 0, 2, Split},
    {"strip", 0, 1, StripCharacters<Strip, true, true>},
    {"lstrip", 0, 1, StripCharacters<StripStart, true, false>},
    {"rstrip", 0, 1, StripCharacters<StripEnd, false, true>},
    {"index", 1, 1, Index},
    {"replace", 2, 2, Replace},
    {"lower", 0, 0, MapCall<LowerCase>},
    {"upper", 0, 0, MapCall<UpperCase>},
    {"capitalize", 0, 0, MapCall<Capitalize>},
    {"title", 0, 0, MapCall<Title>},
    {"startswith", 1, 1, StartsWith},
    {"endswith", 1, 1, EndsWith},
    {"find", 1, 1, Find},
    {"items", 0, 0, Items},
    {"keys", 0, 0, Keys},
    {"values", 0, 0, Values},
    {"get", 1, 2, Get},
};
constexpr TemplateFunction kFilters[] = {
    {"join", 0, 1, Join},
    {"trim", 0, 1, StripCharacters<Strip, true, true>, "chars"},
    {"lower", 0, 0, MapCall<LowerCase>},
    {"upper", 0, 0, MapCall<UpperCase>},
    {"capitalize", 0, 0, MapCall<Capitalize>},
    {"length", 0, 0, Length},
    {"replace", 2, 2, Replace},
    {"title", 0, 0, MapCall<Title>},
    {"count", 0, 0, Length},
    {"first", 0, 0, First},
    {"last", 0, 0, Last},
    {"list", 0, 0, ListOf},
    {"items", 0, 0, Items},
    {"reverse", 0, 0, Reverse},
    {"unique", 0, 0, Unique},
    {"string", 0, 0, ToStringCall},
    {"int", 0, 0, ToIntegerCall},
    {"abs", 0, 0, Absolute},
    {"safe", 0, 0, Same},
    {"tojson", 0, 1, ToJsonText, "indent"},
    {"indent", 0, 2, Indent, "width"},
};

// A test, and whether it takes a value.
struct TestName {
  std::string_view name;
  bool takes_value = false;
};
constexpr TestName kTests[] = {
    {"defined"},           {"undefined"}, {"none"},     {"string"},   {"number"},
    {"integer"},           {"float"},     {"boolean"},  {"true"},     {"false"},
    {"mapping"},           {"sequence"},  {"iterable"}, {"odd"},      {"even"},
    {"equalto", true},     {"eq", true},  {"ne", true}, {"in", true}, {"sameas", true},
    {"divisibleby", true},
};

bool IsRemainder(const Json& value, int64_t divisor, int64_t remainder) {
  Require(divisor != 0, ErrorCode::kInvalidArgument, "nothing can be divided by 0");
  if (divisor == -1) return remainder == 0;
  const int64_t rest = IntegerIn(value, "the value before it") % divisor;
  return (rest < 0 ? rest + std::abs(divisor) : rest) == remainder;
}

}  // namespace

std::span<const TemplateFunction> TemplateMethods() { return kMethods; }

std::span<const TemplateFunction> TemplateFilters() { return kFilters; }

bool IsTemplateFilterOfItems(std::string_view name) {
  for (const std::string_view own :
       {"map", "select", "reject", "selectattr", "rejectattr", "default", "d"}) {
    if (name == own) return true;
  }
  return false;
}

bool IsTemplateTest(std::string_view name) {
  return std::ranges::any_of(kTests, [&](const TestName& test) { return test.name == name; });
}

bool TemplateTestTakesValue(std::string_view name) {
  return std::ranges::any_of(
      kTests, [&](const TestName& test) { return test.name == name && test.takes_value; });
}

bool RunTemplateTest(std::string_view name, const Json& value, const std::vector<Json>& arguments) {
  Require(arguments.size() == (TemplateTestTakesValue(name) ? 1 : 0), ErrorCode::kInvalidArgument,
          "the test {} has {} values", name, arguments.size());
  if (name == "defined") return !value.is_discarded();
  if (name == "undefined") return value.is_discarded();
  if (name == "none") return value.is_null();
  if (name == "string") return value.is_string();
  if (name == "number") return value.is_number() || value.is_boolean();
  if (name == "integer") return value.is_number_integer();
  if (name == "float") return value.is_number_float();
  if (name == "boolean") return value.is_boolean();
  if (name == "true") return value.is_boolean() && value.get<bool>();
  if (name == "false") return value.is_boolean() && !value.get<bool>();
  if (name == "mapping") return value.is_object();
  if (name == "sequence" || name == "iterable") {
    return value.is_structured() || value.is_string() || value.is_discarded();
  }
  if (name == "odd") return IsRemainder(value, 2, 1);
  if (name == "even") return IsRemainder(value, 2, 0);
  if (name == "divisibleby") {
    return IsRemainder(value, IntegerIn(arguments[0], "what it is divided by"), 0);
  }
  if (name == "ne") return !EqualTemplateValues(value, arguments[0]);
  if (name == "in") return TemplateHolds(arguments[0], value);
  if (name == "sameas") return value == arguments[0];
  return EqualTemplateValues(value, arguments[0]);
}

bool IsTrue(const Json& value) {
  if (value.is_discarded() || value.is_null()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

int CompareTemplateValues(const Json& a, const Json& b) {
  const bool are_comparable = (a.is_number() && b.is_number()) || (a.is_string() && b.is_string());
  Require(are_comparable, ErrorCode::kInvalidArgument, "{} and {} have no order", KindOf(a),
          KindOf(b));
  return a < b ? -1 : a == b ? 0 : 1;
}

bool TemplateHolds(const Json& whole, const Json& part) {
  if (whole.is_array()) return FindValue(whole, part) != whole.end();
  if (whole.is_object()) return part.is_string() && whole.contains(part.get<std::string>());
  return StringIn(whole, "what is searched").find(StringIn(part, "what is looked for")) !=
         std::string::npos;
}

bool EqualTemplateValues(const Json& a, const Json& b) {
  if (a.is_discarded() || b.is_discarded()) return a.is_discarded() && b.is_discarded();
  if (a.is_boolean() && b.is_number()) return b == (a.get<bool>() ? 1 : 0);
  if (a.is_number() && b.is_boolean()) return EqualTemplateValues(b, a);
  if (a.type() != b.type() || !a.is_structured()) return a == b;
  if (a.size() != b.size()) return false;
  // Names of objects are in order.
  for (auto [i, j] = std::pair(a.begin(), b.begin()); i != a.end(); ++i, ++j) {
    if (a.is_object() && i.key() != j.key()) return false;
    if (!EqualTemplateValues(*i, *j)) return false;
  }
  return true;
}

std::string_view KindOf(const Json& value) {
  if (value.is_discarded()) return "a value that is not defined";
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
