#ifndef BLOCKFORMER_ENGINE_TEXT_ENGINE_H_
#define BLOCKFORMER_ENGINE_TEXT_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "blockformer/text_generator.h"
#include "engine/engine.h"
#include "text/tokenizer.h"

namespace blockformer {

// What engines that continue texts have in common.

// Options with which only the tokenizer's ids are chosen: vocabulary tables are often padded beyond
// them.
EngineOptions TextEngineOptions(const Tokenizer& tokenizer);

// The type of the KV cache where nobody asks for one: f32 beside f32 weights. Beside weights of
// lower precision, keys and values of f16 lose nothing that counts.
NumberType DefaultKvType(NumberType weight_type);

// A model directory, ready for an engine.
struct TextModel {
  // Throws Error that names the option, or the file and what is wrong with it.
  static TextModel Load(const std::string& directory, const GeneratorOptions& options);

  Tokenizer tokenizer;
  std::shared_ptr<const Model> model;
  EngineOptions engine_options;
};

// Tokens of a prompt's beginning that have to go so that max_tokens fit behind the others; 0 if all
// may stay, or if none could.
int64_t ExcessTokens(int64_t prompt_tokens, int64_t max_tokens, int64_t max_length);

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_TEXT_ENGINE_H_
