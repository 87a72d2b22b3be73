#ifndef BLOCKFORMER_CHECKPOINT_FORMATS_FORMAT_H_
#define BLOCKFORMER_CHECKPOINT_FORMATS_FORMAT_H_

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint_format.h"
#include "checkpoint/formats/tokenizer_source.h"
#include "checkpoint/model_directory.h"
#include "checkpoint/safetensors.h"
#include "config/model_config.h"
#include "text/tokenizer.h"

namespace blockformer {

// A new format is a file of this folder with a FormatEntry, declared below, and its place in the
// list in checkpoint_format.cc.

// A checkpoint that is there to be read.
class CheckpointSource {
 public:
  explicit CheckpointSource(ModelConfig config) : config_(std::move(config)) {}
  CheckpointSource(const CheckpointSource&) = delete;
  CheckpointSource& operator=(const CheckpointSource&) = delete;
  virtual ~CheckpointSource() = default;

  const ModelConfig& config() const { return config_; }
  // Checked against the configuration; throws as SafetensorsWeights and GgufModel do.
  virtual std::shared_ptr<const ModelWeights> Weights() const = 0;
  virtual TokenizerSource ReadTokenizer() const = 0;
  // As ReadSamplingDefaults() has them.
  virtual OrderedJson SamplingDefaults() const { return OrderedJson::object(); }

 private:
  ModelConfig config_;
};

struct OpenOptions {
  std::string source;        // that is there
  std::string trainer_yaml;  // of a published checkpoint; empty: the one beside it
};

// What is written beside weights and tokenizer.
struct ModelDescription {
  std::string name;
  const ModelConfig& config;
  DataType type;               // of most of the weights
  const Tokenizer* tokenizer;  // may be null
  OrderedJson sampling_defaults;
};

// What there is to know of a format.
struct FormatEntry {
  CheckpointFormat format;
  const char* name;
  // Whether `source` looks like it, by files that only this format has.
  bool (*recognises)(const std::string& source);
  // Throws Error that names the file or field.
  std::unique_ptr<CheckpointSource> (*open)(const OpenOptions& options);
  // Throws Error(kUnsupported) if a model cannot be written; null if none can.
  void (*require_expressible)(const ModelConfig& config);
  void (*write)(const std::string& directory, const ModelDescription& model);
  // The names of the files that `write` makes; null if it is.
  std::vector<std::string> (*written_files)();
  bool holds_int8;     // linear layers may be int8
  bool is_run;         // commands that run a model read its directory
  bool names_aliases;  // tied tensors stand there under each of their names
};

extern const FormatEntry kBlockformerFormat;
extern const FormatEntry kHuggingFaceFormat;
extern const FormatEntry kGgufFormat;
extern const FormatEntry kPublishedBlockFormat;

// The directory that a checkpoint is, or in which its file lies.
std::string CheckpointDirectory(const std::string& source);

// One whose weights and tokenizer lie as files, at a path: a directory, or a file of weights in it.
class FileSource : public CheckpointSource {
 public:
  FileSource(std::string path, ModelConfig config)
      : CheckpointSource(std::move(config)), path_(std::move(path)) {}

  std::shared_ptr<const ModelWeights> Weights() const override {
    return std::make_shared<const SafetensorsWeights>(path_, config());
  }
  TokenizerSource ReadTokenizer() const override {
    return TokenizerOfCheckpoint(CheckpointDirectory(path_));
  }
  OrderedJson SamplingDefaults() const override {
    return ReadSamplingDefaults(CheckpointDirectory(path_));
  }

 private:
  std::string path_;
};

// For formats whose configuration is in `place`. Throws Error(kInvalidArgument) if a trainer YAML
// is named.
void RequireNoTrainerYaml(const OpenOptions& options, const char* format, const char* place);
// Throws Error(kInvalidArgument) if `source` is no directory.
void RequireDirectory(const OpenOptions& options, const char* format);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_FORMATS_FORMAT_H_
