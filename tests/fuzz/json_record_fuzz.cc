// Any bytes as a line of JSON lines: an Error, or a record whose text is valid UTF-8 and which can
// be written with a field more. What a strict parser accepts is accepted, with the same text.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "blockformer/error.h"
#include "data/json_record.h"
#include "data/result_fields.h"
#include "text/utf8.h"

namespace {

using blockformer::Error;
using blockformer::InvalidUtf8;
using blockformer::Json;
using blockformer::JsonRecord;
using blockformer::ResultFields;

std::optional<JsonRecord> Parse(const std::string& line) {
  try {
    return JsonRecord(line, "fuzz.jsonl:1");
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<std::string> TextOf(const JsonRecord& record, InvalidUtf8 invalid_utf8) {
  try {
    return record.Text("text", invalid_utf8);
  } catch (const Error&) {
    return std::nullopt;
  }
}

void CompareWithStrictParser(const std::string& line, const std::optional<JsonRecord>& record) {
  Json json;
  try {
    json = blockformer::ParseJson(line, "strict");
  } catch (const Error&) {
    return;
  }
  if (record.has_value() != json.is_object()) std::abort();
  if (!record || !json.contains("text") || !json["text"].is_string()) return;
  if (TextOf(*record, InvalidUtf8::kError) != json["text"].get<std::string>()) std::abort();
}

void CheckRecord(const JsonRecord& record) {
  for (const InvalidUtf8 invalid_utf8 : {InvalidUtf8::kError, InvalidUtf8::kReplace}) {
    const std::optional<std::string> text = TextOf(record, invalid_utf8);
    if (text && blockformer::FindInvalidUtf8(*text) != text->size()) std::abort();
  }
  try {
    std::string left_out;
    record.ToJson(InvalidUtf8::kReplace, &left_out);
    const ResultFields fields("", {"text"});
    fields.RequireFree(record);
    const std::optional<JsonRecord> longer = Parse(fields.Append(record, {{"text", "\"x\""}}));
    if (!longer || TextOf(*longer, InvalidUtf8::kError) != "\"x\"") std::abort();
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string line(reinterpret_cast<const char*>(data), size);
  const std::optional<JsonRecord> record = Parse(line);
  CompareWithStrictParser(line, record);
  if (record) CheckRecord(*record);
  blockformer::LooksLikeJsonLines(line);
  return 0;
}
