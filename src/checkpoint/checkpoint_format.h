#ifndef BLOCKFORMER_CHECKPOINT_CHECKPOINT_FORMAT_H_
#define BLOCKFORMER_CHECKPOINT_CHECKPOINT_FORMAT_H_

#include <span>
#include <string>

namespace blockformer {

enum class CheckpointFormat {
  kBlockformer,     // our model directory
  kHuggingFace,     // Hugging Face's directory: of a vanilla model of any of our families, or,
                    // written only, of a block model with the code that runs it
  kGguf,            // llama.cpp's file of a vanilla model; read only
  kPublishedBlock,  // model.safetensors and trainer YAML of the published implementation
};

struct FormatEntry;  // checkpoint/formats/format.h

// A row for each format.
std::span<const FormatEntry* const> CheckpointFormats();
const FormatEntry& EntryOf(CheckpointFormat format);

const char* FormatName(CheckpointFormat format);

// What the checkpoint at `source` is, by its own files. Throws Error: kNotFound if it is nothing
// that is known, kInvalidArgument if it may be several things.
CheckpointFormat RecogniseFormat(const std::string& source);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_CHECKPOINT_FORMAT_H_
