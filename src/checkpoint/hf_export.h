#ifndef BLOCKFORMER_CHECKPOINT_HF_EXPORT_H_
#define BLOCKFORMER_CHECKPOINT_HF_EXPORT_H_

#include <span>
#include <string>

#include "base/embedded_file.h"
#include "checkpoint/safetensors.h"
#include "config/model_config.h"
#include "text/tokenizer.h"

namespace blockformer {

// The Python code that an exported block model carries: the contents of python/hf.
std::span<const EmbeddedFile> HfFiles();

// Writes all but the weights and the tokenizer's own files of a directory that Hugging Face's
// AutoModelForCausalLM and AutoTokenizer load. A block model's has code of its own, so that loading
// it takes trust_remote_code=True, and stays a model directory of blockformer; a vanilla model's is
// that of its architecture. `sampling_defaults` is as MakeConfigFiles() has it. `tokenizer` may be
// null. With one, ids that it does not have are never generated, as the engine never does; and
// where `directory` has no tokenizer_config.json, it gets one.
void WriteHfExport(const std::string& directory, const ModelConfig& config, DataType type,
                   const OrderedJson& sampling_defaults, const Tokenizer* tokenizer);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_HF_EXPORT_H_
