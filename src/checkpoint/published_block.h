#ifndef BLOCKFORMER_CHECKPOINT_PUBLISHED_BLOCK_H_
#define BLOCKFORMER_CHECKPOINT_PUBLISHED_BLOCK_H_

#include <string>

#include "config/model_config.h"

namespace blockformer {

// Whether this is a trainer configuration of the published implementation.
bool IsPublishedConfig(const Json& yaml);

// The model that a trainer YAML of the published implementation makes, block or vanilla: what the
// file leaves out comes from the base model that it names (Pythia, roberta-base, t5-small), except
// that heads and feed-forward sizes of GPT-NeoX and RoBERTa parts of a *block* model are then
// computed of their widths. Throws Error(kInvalidArgument or kUnsupported) that names the field;
// GPT-Neo, several embeddings a block and T5 embedders are among what is not supported.
ModelConfig PublishedConfigFromYaml(const Json& yaml, const std::string& source);

// A trainer YAML that the published implementation and PublishedConfigFromYaml read as this model,
// with every size written out. `precision` is fp32, bf16 or fp16. Throws Error(kUnsupported) for a
// vanilla model and for what the published implementation does not have.
std::string PublishedYaml(const ModelConfig& config, const std::string& name,
                          const std::string& precision);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_PUBLISHED_BLOCK_H_
