#ifndef BLOCKFORMER_CHECKPOINT_GGUF_CONFIG_H_
#define BLOCKFORMER_CHECKPOINT_GGUF_CONFIG_H_

#include "checkpoint/gguf_file.h"
#include "config/model_config.h"

namespace blockformer {

// The tensor of factors by which llama.cpp divides frequencies; it stands for Llama 3's scaling.
inline constexpr char kGgufRotaryFactors[] = "rope_freqs.weight";

// What the keys and tensors of a GGUF file say of its model: architectures llama, qwen2, qwen3 and
// gptneox. Each key of the architecture is obeyed, known not to matter, or refused. Throws Error
// that names the file and the key.
ModelConfig GgufModelConfig(const GgufFile& file);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_GGUF_CONFIG_H_
