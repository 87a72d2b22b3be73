// Reads YAML with yaml-cpp's event parser into the same form as JSON.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "config/json.h"

namespace blockformer {
namespace {

constexpr size_t kMaxYamlDepth = 64;

template <typename Number>
bool ParseWhole(std::string_view text, Number* value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && stop == end;
}

// The core schema of YAML 1.2 for a scalar without quotes.
Json ToScalar(const std::string& text) {
  if (text.empty() || text == "null" || text == "Null" || text == "NULL" || text == "~") return {};
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  int64_t integer = 0;
  if (ParseWhole(digits, &integer)) return integer;
  double number = 0;
  const bool numeric = digits.find_first_not_of("0123456789+-.eE") == std::string_view::npos;
  if (numeric && ParseWhole(digits, &number) && std::isfinite(number)) return number;
  return text;
}

// yaml-cpp passes on bytes that are no characters.
bool IsUtf8(const std::string& text) {
  try {
    Json(text).dump();
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

class JsonBuilder : public YAML::EventHandler {
 public:
  JsonBuilder(const std::string& source, std::map<std::string, int>* lines)
      : source_(source), lines_(lines) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RejectAnchor(mark, anchor);
    Add(mark, {});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    FailAt(mark, "aliases are not read; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    RejectAnchor(mark, anchor);
    RejectTag(mark, tag);
    if (!IsUtf8(value)) FailAt(mark, "a text is not valid UTF-8");
    if (ExpectsKey()) {
      keys_.back() = value;
      has_key_.back() = true;
      if (open_.back()->contains(value)) {
        FailAt(mark, fmt::format("the key \"{}\" stands twice; keep one of them", value));
      }
      if (lines_ != nullptr && open_.size() == 1) lines_->emplace(value, mark.line + 1);
    } else {
      Add(mark, tag == "!" ? Json(value) : ToScalar(value));  // "!" marks a quoted scalar
    }
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Start(mark, tag, anchor, Json::array());
  }
  void OnSequenceEnd() override { End(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Start(mark, tag, anchor, Json::object());
  }
  void OnMapEnd() override { End(); }

  Json TakeResult() { return std::move(root_); }

 private:
  bool ExpectsKey() const {
    return !open_.empty() && open_.back()->is_object() && !has_key_.back();
  }

  [[noreturn]] void FailAt(const YAML::Mark& mark, const std::string& problem) const {
    Fail(ErrorCode::kCorrupt, "{}: line {}, column {}: {}", source_, mark.line + 1, mark.column + 1,
         problem);
  }
  void RejectAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) const {
    if (anchor != 0) FailAt(mark, "anchors are not read; remove the &name");
  }
  void RejectTag(const YAML::Mark& mark, const std::string& tag) const {
    if (tag.empty() || tag == "?" || tag == "!") return;
    FailAt(mark,
           fmt::format("tags are not read: {}; a plain value is wanted, no type or code", tag));
  }

  Json* Add(const YAML::Mark& mark, Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    if (!has_key_.back()) FailAt(mark, "a key must be plain text");
    has_key_.back() = false;
    return &(parent[keys_.back()] = std::move(value));
  }
  void Start(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Json value) {
    RejectAnchor(mark, anchor);
    RejectTag(mark, tag);
    if (open_.size() >= kMaxYamlDepth) FailAt(mark, "nested too deeply");
    open_.push_back(Add(mark, std::move(value)));
    keys_.emplace_back();
    has_key_.push_back(false);
  }
  void End() {
    open_.pop_back();
    keys_.pop_back();
    has_key_.pop_back();
  }

  const std::string& source_;
  std::map<std::string, int>* lines_;
  Json root_;
  std::vector<Json*> open_;  // stable: a parent does not grow while a child of it is open
  std::vector<std::string> keys_;
  std::vector<bool> has_key_;
};

// Those that may not stand in YAML.
bool IsControlCharacter(char c) {
  return static_cast<unsigned char>(c) < ' ' && c != '\t' && c != '\n' && c != '\r';
}

}  // namespace

Json ParseYaml(std::string_view text, const std::string& source,
               std::map<std::string, int>* lines) {
  // The library takes some of these for the end of the text.
  const auto control = std::ranges::find_if(text, IsControlCharacter);
  Require(control == text.end(), ErrorCode::kCorrupt,
          "{}: not valid YAML: byte {} is a control character", source, control - text.begin());
  std::istringstream stream{std::string(text)};
  JsonBuilder builder(source, lines);
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    JsonBuilder further(source, nullptr);
    Require(!parser.HandleNextDocument(further), ErrorCode::kUnsupported,
            "{}: holds more than one YAML document; one is wanted", source);
  } catch (const YAML::Exception& error) {
    Fail(ErrorCode::kCorrupt, "{}: not valid YAML: line {}, column {}: {}", source,
         error.mark.line + 1, error.mark.column + 1, error.msg);
  }
  return builder.TakeResult();
}

Json ReadYamlFile(const std::string& path) { return ParseYaml(ReadFile(path, 1 << 24), path); }

}  // namespace blockformer
