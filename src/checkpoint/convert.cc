#include "checkpoint/convert.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "checkpoint/gguf_model.h"
#include "checkpoint/gguf_tokenizer.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/hf_export.h"
#include "checkpoint/int8_weights.h"
#include "checkpoint/model_directory.h"
#include "checkpoint/published_block.h"
#include "checkpoint/staged_directory.h"
#include "checkpoint/weight_writer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_config.h"

namespace blockformer {
namespace {

constexpr char kTrainerYamlFile[] = "trainer.yaml";
constexpr uint64_t kMaxTokenizerBytes = uint64_t{1} << 28;

// What programs need to tokenise as the model was trained.
constexpr const char* kTokenizerFiles[] = {
    kTokenizerFile,      kTokenizerConfigFile, "chat_template.jinja", "special_tokens_map.json",
    "added_tokens.json", "vocab.json",         "merges.txt",          "encoder.json",
    "vocab.bpe"};

// Any of them says that there is a tokenizer.
constexpr const char* kVocabularyFiles[] = {kTokenizerFile, "vocab.json", "encoder.json"};

// What a checkpoint is.
struct Source {
  CheckpointFormat format = CheckpointFormat::kBlockformer;
  ModelConfig config;
  std::shared_ptr<const GgufModel> gguf;  // of kGguf
};

Source ReadSource(const ConvertOptions& options) {
  Require(FileExists(options.source), ErrorCode::kNotFound, "{}: there is no such checkpoint",
          options.source);
  RequireNotPickled(options.source);
  Source source;
  const bool yaml_given = !options.trainer_yaml.empty();
  source.format = options.from ? *options.from
                  : yaml_given ? CheckpointFormat::kPublishedBlock
                               : RecogniseFormat(options.source);
  if (source.format == CheckpointFormat::kPublishedBlock) {
    const std::string yaml = yaml_given ? options.trainer_yaml : FindTrainerYaml(options.source);
    source.config = PublishedConfigFromYaml(ReadYamlFile(yaml), yaml);
    return source;
  }
  Require(!yaml_given, ErrorCode::kInvalidArgument,
          "`config` names the trainer YAML of a published checkpoint; with `from` {} the "
          "configuration is that in {}",
          FormatName(source.format),
          source.format == CheckpointFormat::kGguf ? "the file" : kConfigFile);
  if (source.format == CheckpointFormat::kGguf) {
    Require(!IsDirectory(options.source), ErrorCode::kInvalidArgument,
            "{}: is a directory; as gguf one of its files is wanted", options.source);
    source.gguf = std::make_shared<const GgufModel>(options.source);
    source.config = source.gguf->config();
    return source;
  }
  Require(IsDirectory(options.source), ErrorCode::kInvalidArgument,
          "{}: is a file; as {} its directory is wanted", options.source,
          FormatName(source.format));
  const std::string path = options.source + "/" + kConfigFile;
  source.config = source.format == CheckpointFormat::kHuggingFace
                      ? HfConfigFromJson(ReadJsonFile(path), path)
                      : ReadModelConfig(options.source);
  return source;
}

// What options change in the model that a checkpoint holds.
ModelConfig ResultConfig(const ModelConfig& source, const ConvertOptions& options) {
  ModelConfig config = options.uptrain ? UptrainedConfig(source, *options.uptrain) : source;
  Require(!options.without_padding || config.kind == ModelKind::kBlock, ErrorCode::kInvalidArgument,
          "`no_padding`: a vanilla model is always trained without padding");
  if (options.without_padding) config.padding = {false, false};
  return config;
}

// The weights of a model as they are, those that nothing reads as zeros.
std::vector<WeightSource> UnchangedWeights(const ModelConfig& config, const ModelWeights& weights,
                                           DataType type) {
  std::vector<WeightSource> result;
  for (const ParameterSpec& spec : ListParameters(config)) {
    WeightSource weight;
    if (spec.is_used) {
      weight = weights.Source(spec.name);
    } else {
      weight.name = spec.name;
      weight.shape = spec.shape;
      weight.type = type;
      weight.value = [](int64_t) { return 0.0f; };
    }
    weight.in_checksum = spec.is_used;
    result.push_back(std::move(weight));
  }
  return result;
}

// Adds the other names of tied tensors.
void AddAliases(const ModelConfig& config, std::vector<WeightSource>* weights) {
  std::vector<WeightSource> copies;
  for (const ParameterSpec& spec : ListParameters(config)) {
    for (const std::string& alias : spec.aliases) {
      WeightSource copy = *std::ranges::find(*weights, spec.name, &WeightSource::name);
      copy.name = alias;
      copy.in_checksum = false;
      copies.push_back(std::move(copy));
    }
  }
  std::ranges::move(copies, std::back_inserter(*weights));
}

class Converter {
 public:
  Converter(const ConvertOptions& options, const ConvertCallbacks& callbacks)
      : options_(options), callbacks_(callbacks) {}

  ConvertReport Run() {
    const Source source = ReadSource(options_);
    report_.from = source.format;
    report_.config = ResultConfig(source.config, options_);
    RequireExpressible();
    if (source.gguf && options_.tokenizer.empty()) {
      gguf_tokenizer_ = ReadGgufTokenizer(source.gguf->file());
    }
    CheckTokenizer();
    RefuseToReplaceSources();
    StagedDirectory directory(options_.destination, options_.replace);
    const ModelWeights stored =
        source.gguf ? ModelWeights(source.gguf) : ModelWeights(options_.source, source.config);
    RequireNoneMadeOfInt8(stored);
    report_.tensors_skipped = stored.skipped();
    report_.tensors_read = stored.num_tensors() - stored.skipped().size();
    type_ = ResultType(source.config, stored);
    const std::vector<WeightSource> weights = type_ == DataType::kI8
                                                  ? Int8Weights(source.config, stored)
                                                  : FloatWeights(source.config, stored);
    report_.tensors_written = weights.size();

    WriteFiles(directory.path(), weights);
    if (callbacks_.check) callbacks_.check(directory.path(), report_);
    directory.Commit();
    return report_;
  }

 private:
  // Neither those nor directories that they lie in.
  void RefuseToReplaceSources() const {
    for (const std::string& source : {options_.source, options_.tokenizer, options_.trainer_yaml}) {
      if (source.empty()) continue;
      std::filesystem::path folder = std::filesystem::absolute(source);
      if (!IsDirectory(source)) folder = folder.parent_path();
      std::error_code ignored;  // one of them is not there
      Require(!std::filesystem::equivalent(folder, options_.destination, ignored),
              ErrorCode::kInvalidArgument,
              "{}: is also an input, which it would replace; another directory is wanted",
              options_.destination);
    }
  }

  void RequireExpressible() const {
    const bool int8 = options_.type == DataType::kI8;
    Require(!int8 || options_.to == CheckpointFormat::kBlockformer, ErrorCode::kUnsupported,
            "{} holds no int8 weights; `to` {} does", FormatName(options_.to),
            FormatName(CheckpointFormat::kBlockformer));
    Require(!int8 || !options_.uptrain, ErrorCode::kUnsupported,
            "`uptrain` makes a model to be trained, which int8 weights cannot be; convert it with "
            "`dtype` int8 when it is trained");
    // Made here as well, so that what cannot be written is known before anything is.
    if (options_.to == CheckpointFormat::kPublishedBlock) {
      PublishedYaml(report_.config, "model", "fp32");
    }
  }

  // What quantising lost would be lost in whatever is made of its result.
  void RequireNoneMadeOfInt8(const ModelWeights& stored) const {
    const bool copies = options_.type.value_or(DataType::kI8) == DataType::kI8 &&
                        options_.to == CheckpointFormat::kBlockformer && !options_.uptrain;
    Require(!stored.is_int8() || copies, ErrorCode::kUnsupported,
            "{}: has int8 weights, which can be copied and nothing else; convert the f32 or bf16 "
            "model it was made from",
            options_.source);
  }

  // Here it still has the name that the user knows, and gigabytes are not yet written.
  void CheckTokenizer() {
    const std::string from = TokenizerSource();
    if (from.empty()) return;
    tokenizer_ = gguf_tokenizer_     ? Tokenizer::Parse(gguf_tokenizer_->tokenizer_json, from)
                 : IsDirectory(from) ? Tokenizer::Load(from)
                                     : Tokenizer::Parse(ReadFile(from, kMaxTokenizerBytes), from);
    Require(tokenizer_->VocabSize() <= report_.config.vocab_size, ErrorCode::kInvalidArgument,
            "{}: the tokenizer has {} ids and the model's vocabulary {}; name the model's own with "
            "`tokenizer`",
            from, tokenizer_->VocabSize(), report_.config.vocab_size);
    report_.has_tokenizer = true;
  }

  // A directory, a tokenizer.json or a GGUF file; empty if there is none.
  std::string TokenizerSource() const {
    if (!options_.tokenizer.empty()) return options_.tokenizer;
    if (report_.from == CheckpointFormat::kGguf) return gguf_tokenizer_ ? options_.source : "";
    const std::string directory = CheckpointDirectory(options_.source);
    const bool there = std::ranges::any_of(
        kVocabularyFiles, [&](const char* name) { return FileExists(directory + "/" + name); });
    return there ? directory : "";
  }

  // Of most of the weights.
  DataType ResultType(const ModelConfig& source_config, const ModelWeights& stored) const {
    if (options_.type) return *options_.type;
    if (stored.is_int8()) return DataType::kI8;
    return stored.Get(ListParameters(source_config).front().name).type;
  }

  std::vector<WeightSource> FloatWeights(const ModelConfig& source_config,
                                         const ModelWeights& stored) const {
    std::vector<WeightSource> weights =
        options_.uptrain ? UptrainedWeights(report_.config, options_.uptrain->method, stored, type_)
                         : UnchangedWeights(source_config, stored, type_);
    if (options_.to == CheckpointFormat::kPublishedBlock) {
      AddAliases(report_.config, &weights);
    } else {
      std::erase_if(weights, [](const WeightSource& weight) { return !weight.in_checksum; });
    }
    if (options_.type) {
      for (WeightSource& weight : weights) weight.type = *options_.type;
    }
    return weights;
  }

  void WriteFiles(const std::string& directory, const std::vector<WeightSource>& weights) {
    uint64_t total = 0;
    for (const WeightSource& weight : weights) total += weight.Header().NumBytes();
    const auto progress = [&](uint64_t done) {
      if (callbacks_.progress) callbacks_.progress(done, total);
    };
    WrittenWeights written = WriteWeights(directory, weights, options_.max_shard_bytes, progress);
    report_.files = std::move(written.files);
    report_.bytes = written.bytes;
    report_.checksum = written.checksum;
    CopyTokenizer(directory);
    WriteConfig(directory);
    WriteFileAtomically(directory + "/" + kModelCardFile, ModelCard());
  }

  void WriteConfig(const std::string& directory) const {
    switch (options_.to) {
      case CheckpointFormat::kBlockformer:
        return WriteModelConfig(directory, report_.config, type_);
      case CheckpointFormat::kHuggingFace:
        return WriteHfExport(directory, report_.config, type_, tokenizer_ ? &*tokenizer_ : nullptr);
      case CheckpointFormat::kGguf:
        Fail(ErrorCode::kInternal, "GGUF files are not written");
      case CheckpointFormat::kPublishedBlock: {
        const char* precision = type_ == DataType::kF32    ? "fp32"
                                : type_ == DataType::kBF16 ? "bf16"
                                                           : "fp16";
        return WriteFileAtomically(directory + "/" + kTrainerYamlFile,
                                   PublishedYaml(report_.config, Name(), precision));
      }
    }
  }

  void CopyTokenizer(const std::string& directory) {
    const std::string from = TokenizerSource();
    if (gguf_tokenizer_) {
      WriteTokenizerFile(gguf_tokenizer_->tokenizer_json, directory, kTokenizerFile);
      WriteTokenizerFile(gguf_tokenizer_->tokenizer_config_json, directory, kTokenizerConfigFile);
      return;
    }
    if (!from.empty() && !IsDirectory(from)) {
      return WriteTokenizerFile(ReadFile(from, kMaxTokenizerBytes), directory, kTokenizerFile);
    }
    const std::string folder = from.empty() ? CheckpointDirectory(options_.source) : from;
    for (const char* name : kTokenizerFiles) {
      const std::string path = folder + "/" + name;
      if (FileExists(path)) {
        WriteTokenizerFile(ReadFile(path, kMaxTokenizerBytes), directory, name);
      }
    }
  }

  void WriteTokenizerFile(const std::string& contents, const std::string& directory,
                          const char* name) {
    WriteFileAtomically(directory + "/" + name, contents);
    report_.tokenizer_files.emplace_back(name);
  }

  // The destination's last part, without slashes at the end.
  std::string Name() const {
    const std::filesystem::path path =
        std::filesystem::path(options_.destination + "/").lexically_normal();
    return path.parent_path().filename().string();
  }

  std::string ModelCard() const {
    const bool is_block = report_.config.kind == ModelKind::kBlock;
    return fmt::format(
        "---\npipeline_tag: text-generation\n---\n\n# {}\n\nA {} of {} parameters{}, {} by "
        "blockformer from `{}` ({}). Checksum of the weights (FNV-1a of names and data): "
        "{:016x}\n",
        Name(),
        is_block ? "Block Transformer (arXiv 2406.02657)"
                 : fmt::format("vanilla {} model", NamesOf(report_.config.decoder.family).title),
        CountParameters(report_.config).used,
        type_ == DataType::kI8 ? " with linear layers in int8" : "",
        options_.uptrain ? "made for uptraining" : "converted", options_.source,
        FormatName(report_.from), report_.checksum);
  }

  const ConvertOptions& options_;
  const ConvertCallbacks& callbacks_;
  ConvertReport report_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<GgufTokenizer> gguf_tokenizer_;  // of a GGUF file that has one, if it is used
  DataType type_ = DataType::kF32;               // of most of the weights written
};

}  // namespace

ConvertReport ConvertCheckpoint(const ConvertOptions& options, const ConvertCallbacks& callbacks) {
  return Converter(options, callbacks).Run();
}

}  // namespace blockformer
