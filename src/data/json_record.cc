#include "data/json_record.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr std::string_view kBlank = " \t\r\n";
constexpr size_t kMaxShownBytes = 40;

// A part of the line for a message.
std::string Shown(std::string_view text) {
  const std::string_view part = text.substr(0, kMaxShownBytes);
  return ReplaceInvalidUtf8(part) + (part.size() < text.size() ? "..." : "");
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Takes the digits at the front; false if there is none.
bool TakeDigits(std::string_view* text) {
  const size_t size = text->size();
  while (!text->empty() && IsDigit(text->front())) text->remove_prefix(1);
  return text->size() < size;
}

bool IsNumber(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (!TakeDigits(&text)) return false;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (!TakeDigits(&text)) return false;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (!TakeDigits(&text)) return false;
  }
  return text.empty();
}

// Also what Python's json module writes for numbers that JSON does not have.
bool IsScalar(std::string_view text) {
  constexpr std::string_view kNames[] = {"true", "false", "null", "NaN", "Infinity", "-Infinity"};
  return std::ranges::find(kNames, text) != std::end(kNames) || IsNumber(text);
}

// Finds where values begin and end.
class Scanner {
 public:
  Scanner(std::string_view text, const std::string& place) : text_(text), place_(place) {}

  size_t position() const { return position_; }

  // Moves to what is not blank; '\0' at the end.
  char Next() {
    position_ = std::min(text_.find_first_not_of(kBlank, position_), text_.size());
    return position_ < text_.size() ? text_[position_] : '\0';
  }

  bool Take(char c) {
    if (Next() != c || position_ == text_.size()) return false;
    ++position_;
    return true;
  }

  void Expect(char c) {
    if (!Take(c)) FailHere(fmt::format("'{}' is wanted", c));
  }

  // Skips a key and its colon; returns the key without quotes, as it stands.
  std::string_view Key() {
    if (Next() != '"') FailHere("a field's name in quotes is wanted");
    const size_t begin = position_ + 1;
    SkipString();
    const std::string_view key = text_.substr(begin, position_ - 1 - begin);
    Expect(':');
    return key;
  }

  void SkipValue() {
    std::string open;  // brackets
    do {
      const char c = Next();
      if (c == '{' || c == '[') {
        ++position_;
        open.push_back(c == '{' ? '}' : ']');
        if (Next() != open.back()) {
          if (c == '{') Key();
          continue;
        }
      } else if (c == '"') {
        SkipString();
      } else {
        SkipScalar();
      }
      while (!open.empty() && Take(open.back())) open.pop_back();
      if (open.empty()) return;
      Expect(',');
      if (open.back() == '}') Key();
    } while (true);
  }

  [[noreturn]] void FailHere(const std::string& problem) const {
    Require(position_ < text_.size(), ErrorCode::kCorrupt,
            "{}: not valid JSON: the line ends inside its object; one whole object a line is "
            "wanted",
            place_);
    Fail(ErrorCode::kCorrupt, "{}: not valid JSON: {} at byte {}, where \"{}\" stands", place_,
         problem, position_, Shown(text_.substr(position_)));
  }

 private:
  void SkipString() {
    do {
      position_ = text_.find_first_of("\"\\", position_ + 1);
      if (position_ < text_.size() && text_[position_] == '"') {
        ++position_;
        return;
      }
      if (position_ < text_.size()) ++position_;  // what stands behind a backslash
    } while (position_ < text_.size());
    position_ = text_.size();
    FailHere("");
  }

  void SkipScalar() {
    const size_t end = std::min(text_.find_first_of(",:]}[{\" \t\r\n", position_), text_.size());
    if (!IsScalar(text_.substr(position_, end - position_))) FailHere("a value is wanted");
    position_ = end;
  }

  std::string_view text_;
  const std::string& place_;
  size_t position_ = 0;
};

const char* KindOfValue(std::string_view value) {
  switch (value.empty() ? '\0' : value.front()) {
    case '{':
      return "an object";
    case '[':
      return "an array";
    case '"':
      return "a string";
    case 't':
    case 'f':
      return "a boolean";
    case 'n':
      return "null";
    default:
      return "a number";
  }
}

// The code unit of "\uXXXX" at the front; nothing if it is not one.
std::optional<char32_t> ReadUnicodeEscape(std::string_view text) {
  constexpr size_t kDigits = 4;
  if (!text.starts_with("\\u") || text.size() < 2 + kDigits) return std::nullopt;
  uint32_t unit = 0;
  const char* end = text.data() + 2 + kDigits;
  const auto [stop, error] = std::from_chars(text.data() + 2, end, unit, 16);
  if (error != std::errc() || stop != end) return std::nullopt;
  return unit;
}

bool IsHighSurrogate(char32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool IsLowSurrogate(char32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

// What stands for one character: a pair of surrogates, or one code unit. `length` is 0 for what is
// no escape, and the character of half of a pair is itself.
struct UnicodeEscape {
  char32_t character = 0;
  size_t length = 0;
};

constexpr size_t kEscapeLength = 6;  // of "\\uXXXX"

UnicodeEscape ReadCharacterEscape(std::string_view text) {
  const std::optional<char32_t> unit = ReadUnicodeEscape(text);
  if (!unit) return {};
  if (!IsHighSurrogate(*unit)) return {*unit, kEscapeLength};
  const std::optional<char32_t> second = ReadUnicodeEscape(text.substr(kEscapeLength));
  if (!second || !IsLowSurrogate(*second)) return {*unit, kEscapeLength};
  return {0x10000 + ((*unit - 0xD800) << 10) + (*second - 0xDC00), 2 * kEscapeLength};
}

// JSON text in which U+FFFD stands for invalid UTF-8 and for halves of surrogate pairs.
std::string ReplaceInvalid(std::string_view json) {
  const std::string valid = ReplaceInvalidUtf8(json);
  const std::string_view text = valid;
  std::string result;
  for (size_t position = 0; position < text.size();) {
    const size_t escape = std::min(text.find('\\', position), text.size());
    result.append(text.substr(position, escape - position));
    const UnicodeEscape read = ReadCharacterEscape(text.substr(escape));
    const bool is_half = IsHighSurrogate(read.character) || IsLowSurrogate(read.character);
    const size_t length = read.length == 0 ? 2 : read.length;
    if (is_half) {
      result.append(kReplacementCharacter);
    } else if (escape < text.size()) {
      result.append(text.substr(escape, length));
    }
    position = std::min(escape + length, text.size());
  }
  return result;
}

// Decodes what stands between the quotes of a JSON string. What is wrong is told to
// fail(offset, problem), which throws.
template <typename FailAt>
class StringDecoder {
 public:
  StringDecoder(std::string_view raw, FailAt fail) : raw_(raw), fail_(fail) {}

  std::string Run() {
    if (const size_t invalid = FindInvalidUtf8(raw_); invalid < raw_.size()) {
      fail_(invalid, fmt::format("0x{:02X} is not valid UTF-8; `replace_invalid` replaces it",
                                 static_cast<uint8_t>(raw_[invalid])));
    }
    std::string text;
    text.reserve(raw_.size());
    while (position_ < raw_.size()) {
      const size_t begin = position_;
      while (position_ < raw_.size() && raw_[position_] != '\\' && !IsControl(raw_[position_])) {
        ++position_;
      }
      text.append(raw_.substr(begin, position_ - begin));
      if (position_ == raw_.size()) break;
      if (IsControl(raw_[position_])) {
        const auto byte = static_cast<uint8_t>(raw_[position_]);
        fail_(position_,
              fmt::format("not valid JSON: the control character 0x{:02X} has to be written as "
                          "\\u{:04x}",
                          byte, byte));
      }
      Escape(&text);
    }
    return text;
  }

 private:
  static bool IsControl(char c) { return static_cast<uint8_t>(c) < 0x20; }

  void Escape(std::string* text) {
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char letter = position_ + 1 < raw_.size() ? raw_[position_ + 1] : '\0';
    if (letter == 'u') return Character(text);
    const size_t found = kLetters.find(letter);
    if (found == std::string_view::npos) FailEscape(2);
    text->push_back(kMeanings[found]);
    position_ += 2;
  }

  void Character(std::string* text) {
    const UnicodeEscape escape = ReadCharacterEscape(raw_.substr(position_));
    if (escape.length == 0) FailEscape(kEscapeLength);
    if (IsHighSurrogate(escape.character) || IsLowSurrogate(escape.character)) {
      fail_(position_, fmt::format("{} is half of a surrogate pair, which is no character; "
                                   "`replace_invalid` replaces it",
                                   raw_.substr(position_, kEscapeLength)));
    }
    AppendUtf8(escape.character, text);
    position_ += escape.length;
  }

  void FailEscape(size_t length) {
    fail_(position_, fmt::format("not valid JSON: \"{}\" is no escape",
                                 Shown(raw_.substr(position_, length))));
  }

  std::string_view raw_;
  FailAt fail_;
  size_t position_ = 0;
};

// The name of a field that nobody may ask for does not have to be valid.
std::string DecodeKey(std::string_view key) {
  if (key.find('\\') == std::string_view::npos) return std::string(key);
  struct NotValid {};
  const auto fail = [](size_t, const std::string&) { throw NotValid(); };
  try {
    const std::string valid = ReplaceInvalid(key);
    return StringDecoder(valid, fail).Run();
  } catch (const NotValid&) {
    return std::string(key);
  }
}

}  // namespace

JsonRecord::JsonRecord(std::string line, std::string place)
    : line_(std::move(line)), place_(std::move(place)) {
  Scanner scanner(line_, place_);
  if (scanner.Next() != '{') {
    const size_t begin = scanner.position();
    scanner.SkipValue();
    const char* kind = KindOfValue(std::string_view(line_).substr(begin));
    Fail(ErrorCode::kInvalidArgument, "{}: an object is wanted, not {}", place_, kind);
  }
  scanner.Expect('{');
  while (scanner.Next() != '}') {
    if (!fields_.empty()) scanner.Expect(',');
    Field field = {DecodeKey(scanner.Key())};
    scanner.Next();
    field.begin = scanner.position();
    scanner.SkipValue();
    field.end = scanner.position();
    fields_.push_back(std::move(field));
  }
  scanner.Expect('}');
  if (scanner.Next(); scanner.position() < line_.size()) {
    scanner.FailHere("the end of the line is wanted");
  }
}

const JsonRecord::Field* JsonRecord::Find(std::string_view name) const {
  const Field* found = nullptr;
  for (const Field& field : fields_) {
    if (field.name != name) continue;
    if (found != nullptr) FailTwice(name);
    found = &field;
  }
  return found;
}

std::string_view JsonRecord::ValueOf(const Field& field) const {
  return std::string_view(line_).substr(field.begin, field.end - field.begin);
}

bool JsonRecord::Has(std::string_view name) const {
  const Field* field = Find(name);
  return field != nullptr && ValueOf(*field) != "null";
}

bool JsonRecord::IsNull(std::string_view name) const {
  const Field* field = Find(name);
  return field != nullptr && ValueOf(*field) == "null";
}

std::string JsonRecord::Text(std::string_view name, InvalidUtf8 invalid_utf8) const {
  const Field* field = Find(name);
  Require(field != nullptr, ErrorCode::kInvalidArgument, "{}: {}: is missing", place_, name);
  const std::string_view value = ValueOf(*field);
  Require(value.starts_with('"'), ErrorCode::kInvalidArgument,
          "{}: {}: {} is not possible; a string is wanted", place_, name, Shown(value));
  return Decode(*field, invalid_utf8);
}

std::string JsonRecord::Decode(const Field& field, InvalidUtf8 invalid_utf8) const {
  const std::string_view quoted = ValueOf(field);
  const auto fail = [&](size_t offset, const std::string& problem) {
    Fail(ErrorCode::kCorrupt, "{}: {}: byte {} of the line: {}", place_, field.name,
         field.begin + 1 + offset, problem);
  };
  const std::string_view raw = quoted.substr(1, quoted.size() - 2);
  if (invalid_utf8 == InvalidUtf8::kError) return StringDecoder(raw, fail).Run();
  const std::string valid = ReplaceInvalid(raw);
  return StringDecoder(valid, fail).Run();
}

void JsonRecord::FailTwice(std::string_view name) const {
  Fail(ErrorCode::kCorrupt, "{}: the key \"{}\" stands twice in one object; keep one of them",
       place_, name);
}

// Sorts, as comparing each with all would take hours for a line of a few megabytes.
void JsonRecord::RequireDistinctFields() const {
  std::vector<std::string_view> names;
  for (const Field& field : fields_) names.emplace_back(field.name);
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice != names.end()) FailTwice(*twice);
}

Json JsonRecord::ToJson(InvalidUtf8 invalid_utf8, std::string* left_out) const {
  RequireDistinctFields();
  Json json = Json::object();
  left_out->clear();
  for (const Field& field : fields_) {
    try {
      if (ValueOf(field).starts_with('"')) {
        json[field.name] = Decode(field, invalid_utf8);
      } else {
        const bool replaces = invalid_utf8 == InvalidUtf8::kReplace;
        json[field.name] =
            ParseJson(replaces ? ReplaceInvalid(ValueOf(field)) : std::string(ValueOf(field)),
                      fmt::format("{}: {}", place_, field.name));
      }
    } catch (const Error& error) {
      if (left_out->empty()) *left_out = error.what();
    }
  }
  return json;
}

bool LooksLikeJsonLines(std::string_view text) {
  bool found = false;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t begin = line.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) continue;
    if (line[begin] != '{') return false;
    if (std::exchange(found, true)) continue;
    try {
      const JsonRecord is_object(std::string(line), "");
    } catch (const Error&) {
      return false;
    }
  }
  return found;
}

}  // namespace blockformer
