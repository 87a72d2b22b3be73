// Any JSON schema, and bytes behind it: what cannot be compiled is a JsonSchemaError, and what the
// automaton reads as whole is JSON.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "text/json_automaton.h"
#include "text/json_schema.h"

namespace {

using blockformer::JsonAutomaton;

// The schema is on the first line; a random way of bytes, of which each says which of the bytes
// that may follow does, on the others.
void Follow(JsonAutomaton* automaton, const std::string& way) {
  std::string text;
  int32_t state = automaton->start();
  for (const char c : way) {
    if (automaton->IsComplete(state) && !blockformer::Json::accept(text)) std::abort();
    int32_t next = JsonAutomaton::kNoState;
    for (int i = 0; i < 256 && next == JsonAutomaton::kNoState; ++i) {
      const auto byte = static_cast<uint8_t>(static_cast<uint8_t>(c) + i);
      next = automaton->Next(state, byte);
      if (next != JsonAutomaton::kNoState) text += static_cast<char>(byte);
    }
    if (next == JsonAutomaton::kNoState) {
      if (!automaton->IsComplete(state)) std::abort();  // a dead end
      return;
    }
    state = next;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::string schema = text.substr(0, text.find('\n'));
  const std::string way = schema.size() < text.size() ? text.substr(schema.size() + 1) : "";
  try {
    blockformer::ParseJson(schema, "schema");  // as the server does, which limits its depth
    JsonAutomaton automaton(std::make_shared<const blockformer::JsonGrammar>(
        blockformer::CompileJsonSchema(blockformer::OrderedJson::parse(schema))));
    Follow(&automaton, way);
  } catch (const blockformer::Error&) {
  }
  return 0;
}
