#ifndef BLOCKFORMER_CHECKPOINT_CHECKPOINT_FORMAT_H_
#define BLOCKFORMER_CHECKPOINT_CHECKPOINT_FORMAT_H_

#include <string>

namespace blockformer {

enum class CheckpointFormat {
  kBlockformer,     // our model directory
  kHuggingFace,     // Hugging Face's directory: of a vanilla model of any of our families, or,
                    // written only, of a block model with the code that runs it
  kGguf,            // a file of llama.cpp's format; read only
  kPublishedBlock,  // model.safetensors and trainer YAML of the published implementation
};

const char* FormatName(CheckpointFormat format);

// The directory that a checkpoint is, or in which its weights file lies.
std::string CheckpointDirectory(const std::string& source);

// What the checkpoint at `source` is: a GGUF file by its first bytes, others by their config.json
// or the trainer YAML beside the weights. Throws Error if there is neither, or both.
CheckpointFormat RecogniseFormat(const std::string& source);

// The only YAML file beside the weights of a published checkpoint. Throws Error if there is none,
// or several.
std::string FindTrainerYaml(const std::string& source);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_CHECKPOINT_FORMAT_H_
