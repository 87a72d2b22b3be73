#ifndef BLOCKFORMER_ENGINE_TEXT_ENGINE_H_
#define BLOCKFORMER_ENGINE_TEXT_ENGINE_H_

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

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_TEXT_ENGINE_H_
