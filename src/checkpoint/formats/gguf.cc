// llama.cpp's files, which are read and not written.
#include "base/error.h"
#include "base/file.h"
#include "checkpoint/formats/format.h"
#include "checkpoint/gguf_file.h"
#include "checkpoint/gguf_model.h"
#include "checkpoint/gguf_tokenizer.h"
#include "text/tokenizer_config.h"

namespace blockformer {
namespace {

class GgufSource : public CheckpointSource {
 public:
  explicit GgufSource(std::shared_ptr<const GgufModel> model)
      : CheckpointSource(model->config()), model_(std::move(model)) {}

  std::shared_ptr<const ModelWeights> Weights() const override { return model_; }

  TokenizerSource ReadTokenizer() const override {
    const std::string& path = model_->file().path();
    std::optional<GgufTokenizer> files = ReadGgufTokenizer(model_->file());
    if (!files) return {path, {}, {}};
    return {path,
            Tokenizer::Parse(files->tokenizer_json, path),
            {{kTokenizerFile, std::move(files->tokenizer_json)},
             {kTokenizerConfigFile, std::move(files->tokenizer_config_json)}}};
  }

 private:
  std::shared_ptr<const GgufModel> model_;
};

std::unique_ptr<CheckpointSource> OpenGguf(const OpenOptions& options) {
  RequireNoTrainerYaml(options, kGgufFormat.name, "the file");
  Require(!IsDirectory(options.source), ErrorCode::kInvalidArgument,
          "{}: is a directory; as gguf one of its files is wanted", options.source);
  return std::make_unique<GgufSource>(std::make_shared<const GgufModel>(options.source));
}

}  // namespace

const FormatEntry kGgufFormat = {.format = CheckpointFormat::kGguf,
                                 .name = "gguf",
                                 .recognises = GgufFile::IsGguf,
                                 .open = OpenGguf,
                                 .require_expressible = nullptr,
                                 .write = nullptr,
                                 .written_files = nullptr,
                                 .holds_int8 = false,
                                 .is_run = false,
                                 .names_aliases = false};

}  // namespace blockformer
