#ifndef BLOCKFORMER_CONFIG_JSON_H_
#define BLOCKFORMER_CONFIG_JSON_H_

#include <cstdint>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "blockformer/error.h"

namespace blockformer {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // keeps the order of insertion; for writing

inline OrderedJson OrNull(const std::optional<double>& value) {
  return value ? OrderedJson(*value) : OrderedJson();
}

// Writes JSON text, on one line or indented. What is not valid UTF-8 becomes U+FFFD.
std::string ToText(const Json& json, int indent = -1);
std::string ToText(const OrderedJson& json, int indent = -1);

// Parses JSON text; `source` (a path, or what the text is) opens every message. Throws
// Error(kCorrupt) for a syntax error (with line and column), a key that stands twice in one object,
// or nesting deeper than 64 levels.
Json ParseJson(std::string_view text, const std::string& source);
Json ReadJsonFile(const std::string& path);

// Reads YAML into the same form as JSON, so that one reader checks both. Plain scalars become
// booleans, integers, floating-point numbers or null as YAML 1.2's core schema has them. Throws as
// ParseJson does; also for bytes that are not valid UTF-8, for tags, and for anchors and aliases,
// which recipes do not need. `lines`, unless null, gets the line of each key at the top level.
Json ParseYaml(std::string_view text, const std::string& source,
               std::map<std::string, int>* lines = nullptr);
Json ReadYamlFile(const std::string& path);

// Reads the fields of one JSON object. Every accessor throws Error(kInvalidArgument) that names the
// source, the field's full path, the value found and what would be right. Fields that were asked
// for are remembered, so that RejectUnknown() can name those that nobody reads.
class ObjectReader {
 public:
  // `object` and everything in it must outlive the reader. `path` is the field that holds it, empty
  // at the top.
  ObjectReader(const Json& object, std::string source, std::string path = "");

  bool Has(const std::string& key) const;  // true if present and not null
  int64_t Int(const std::string& key, int64_t min, int64_t max) const;
  int64_t Int(const std::string& key, int64_t min, int64_t max, int64_t fallback) const;
  // One integer, or a list of at least one.
  std::vector<int64_t> Ints(const std::string& key, int64_t min, int64_t max) const;
  double Number(const std::string& key, double min, double max) const;
  double Number(const std::string& key, double min, double max, double fallback) const;
  bool Bool(const std::string& key) const;
  bool Bool(const std::string& key, bool fallback) const;
  std::string String(const std::string& key) const;
  std::string String(const std::string& key, const std::string& fallback) const;
  std::vector<std::string> Strings(const std::string& key) const;
  ObjectReader Object(const std::string& key) const;
  const Json& Raw(const std::string& key) const;  // null if absent

  // One of the named values of an enumeration.
  template <typename Enum>
  Enum Choice(const std::string& key,
              std::initializer_list<std::pair<const char*, Enum>> choices) const {
    const std::string value = String(key);
    std::vector<std::string> names;
    for (const auto& [name, choice] : choices) {
      if (value == name) return choice;
      names.push_back(name);
    }
    FailChoice(key, value, names);
  }

  // Marks a field as known without reading it.
  void Ignore(const std::string& key) const { known_.insert(key); }
  bool IsKnown(const std::string& key) const { return known_.count(key) > 0; }
  // Throws for the first field that no accessor asked for.
  void RejectUnknown() const;

  // Throws Error(code): "SOURCE: PATH.key: PROBLEM".
  [[noreturn]] void FailField(const std::string& key, const std::string& problem,
                              ErrorCode code = ErrorCode::kInvalidArgument) const;
  const std::string& source() const { return source_; }

 private:
  const Json& Required(const std::string& key) const;
  [[noreturn]] void FailChoice(const std::string& key, const std::string& value,
                               const std::vector<std::string>& names) const;
  std::string FullName(const std::string& key) const;

  const Json& object_;
  std::string source_;
  std::string path_;
  mutable std::set<std::string> known_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CONFIG_JSON_H_
