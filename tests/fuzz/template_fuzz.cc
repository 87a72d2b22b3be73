// Any text as a template, and what stands after the line "---" as the record that it is about: an
// Error, or a text, the same every time.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "blockformer/error.h"
#include "config/json.h"
#include "text/template.h"

namespace {

using blockformer::Json;
using blockformer::Template;

std::string Render(std::string_view text, const Json& record) {
  return Template::Parse(text, "fuzz").Render(record);
}

// As a chat template of the record.
void RenderChat(std::string_view text, const Json& record) {
  blockformer::TemplateDialect dialect;
  dialect.strict = false;
  dialect.trim_blocks = true;
  try {
    Template::Parse(text, "fuzz", dialect).Render(record);
  } catch (const blockformer::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr std::string_view kLine = "\n---\n";
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = text.find(kLine);
  if (end == std::string_view::npos) return 0;
  const std::string_view source = text.substr(0, end);
  try {
    const Json record = blockformer::ParseJson(text.substr(end + kLine.size()), "fuzz.jsonl:1");
    RenderChat(source, record);
    const std::string rendered = Render(source, record);
    // Dates may differ.
    if (source.find("strftime_now") != std::string_view::npos) return 0;
    if (Render(source, record) != rendered) std::abort();
    const Json value = Template::Parse(source, "fuzz").Evaluate(record);
    if (value.is_string() && value.get<std::string>() != rendered) std::abort();
  } catch (const blockformer::Error&) {
  }
  return 0;
}
