#include "checkpoint/convert.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/formats/format.h"
#include "checkpoint/int8_weights.h"
#include "checkpoint/model_directory.h"
#include "checkpoint/staged_directory.h"
#include "checkpoint/weight_writer.h"
#include "text/tokenizer_files.h"

namespace blockformer {
namespace {

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

// Whether a conversion makes files of this name: only such may it replace.
bool IsConvertedFileName(const std::string& name) {
  if (name == kModelCardFile || IsWeightsFileName(name)) return true;
  const auto is_named = [&](const TokenizerFileEntry& file) { return name == file.name; };
  if (std::ranges::any_of(kTokenizerFiles, is_named)) return true;
  return std::ranges::any_of(CheckpointFormats(), [&](const FormatEntry* format) {
    if (format->written_files == nullptr) return false;
    const std::vector<std::string> names = format->written_files();
    return std::ranges::find(names, name) != names.end();
  });
}

std::string WithEachReplaced(std::string text, const std::string& old, const std::string& by) {
  for (size_t at = 0; (at = text.find(old, at)) != std::string::npos; at += by.size()) {
    text.replace(at, old.size(), by);
  }
  return text;
}

// The temporary directory that `error` may name is gone when the user reads of it.
[[noreturn]] void FailOfWriting(const Error& error, const std::string& temporary,
                                const std::string& destination) {
  Fail(error.code(), "{}", WithEachReplaced(error.what(), temporary, destination));
}

[[noreturn]] void FailOfCheck(const Error& error, const std::string& temporary,
                              const std::string& source) {
  const std::string message = error.what();
  if (message.find(temporary) == std::string::npos) throw Error(error);
  const std::string what = WithEachReplaced(message, temporary + ": ", "");
  Fail(error.code(), "{}: the model that was made of it: {}", source,
       WithEachReplaced(what, temporary + "/", ""));
}

class Converter {
 public:
  Converter(const ConvertOptions& options, const ConvertCallbacks& callbacks)
      : options_(options), callbacks_(callbacks) {}

  ConvertReport Run() {
    const std::unique_ptr<CheckpointSource> source = Open();
    report_.config = ResultConfig(source->config(), options_);
    RequireExpressible();
    tokenizer_ =
        options_.tokenizer.empty() ? source->ReadTokenizer() : TokenizerAt(options_.tokenizer);
    sampling_defaults_ = source->SamplingDefaults();
    CheckTokenizer();
    RefuseToReplaceSources();
    StagedDirectory directory(options_.destination, options_.replace, IsConvertedFileName);
    const std::shared_ptr<const ModelWeights> stored = source->Weights();
    RequireNoneMadeOfInt8(*stored);
    report_.tensors_skipped = stored->skipped();
    report_.tensors_read = stored->num_tensors() - stored->skipped().size();
    type_ = ResultType(source->config(), *stored);
    const std::vector<WeightSource> weights = type_ == DataType::kI8
                                                  ? Int8Weights(source->config(), *stored)
                                                  : FloatWeights(source->config(), *stored);
    report_.tensors_written = weights.size();

    try {
      WriteFiles(directory.path(), weights);
    } catch (const Error& error) {
      FailOfWriting(error, directory.path(), options_.destination);
    }
    try {
      if (callbacks_.check) callbacks_.check(directory.path(), report_);
    } catch (const Error& error) {
      FailOfCheck(error, directory.path(), options_.source);
    }
    directory.Commit();
    return report_;
  }

 private:
  std::unique_ptr<CheckpointSource> Open() {
    Require(FileExists(options_.source), ErrorCode::kNotFound, "{}: there is no such checkpoint",
            options_.source);
    RequireNotPickled(options_.source);
    report_.from = options_.from                   ? *options_.from
                   : options_.trainer_yaml.empty() ? RecogniseFormat(options_.source)
                                                   : CheckpointFormat::kPublishedBlock;
    return EntryOf(report_.from).open({options_.source, options_.trainer_yaml});
  }

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
    Require(to_.write != nullptr, ErrorCode::kUnsupported, "`to`: {} is read and not written",
            to_.name);
    const bool int8 = options_.type == DataType::kI8;
    Require(!int8 || to_.holds_int8, ErrorCode::kUnsupported,
            "{} holds no int8 weights; `to` {} does", to_.name, kBlockformerFormat.name);
    Require(!int8 || !options_.uptrain, ErrorCode::kUnsupported,
            "`uptrain` makes a model to be trained, which int8 weights cannot be; convert it with "
            "`dtype` int8 when it is trained");
    to_.require_expressible(report_.config);
  }

  // What quantising lost would be lost in whatever is made of its result.
  void RequireNoneMadeOfInt8(const ModelWeights& stored) const {
    const bool copies = options_.type.value_or(DataType::kI8) == DataType::kI8 && to_.holds_int8 &&
                        !options_.uptrain;
    Require(!stored.is_int8() || copies, ErrorCode::kUnsupported,
            "{}: has int8 weights, which can be copied and nothing else; convert the f32 or bf16 "
            "model it was made from",
            options_.source);
  }

  // Here it still has the name that the user knows, and gigabytes are not yet written.
  void CheckTokenizer() {
    if (!tokenizer_.tokenizer) return;
    const int64_t ids = tokenizer_.tokenizer->VocabSize();
    Require(ids <= report_.config.vocab_size, ErrorCode::kInvalidArgument,
            "{}: the tokenizer has {} ids and the model's vocabulary {}; name the model's own with "
            "`tokenizer`",
            tokenizer_.place, ids, report_.config.vocab_size);
    report_.has_tokenizer = true;
  }

  // The type of most of the weights in the result.
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
    if (to_.names_aliases) {
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
    for (const NamedText& file : tokenizer_.files) {
      WriteFileAtomically(directory + "/" + file.name, file.contents);
      report_.tokenizer_files.push_back(file.name);
    }
    const Tokenizer* tokenizer = tokenizer_.tokenizer ? &*tokenizer_.tokenizer : nullptr;
    to_.write(directory, {Name(), report_.config, type_, tokenizer, sampling_defaults_});
    WriteFileAtomically(directory + "/" + kModelCardFile, ModelCard());
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
  const FormatEntry& to_ = EntryOf(options_.to);
  TokenizerSource tokenizer_;
  OrderedJson sampling_defaults_;
  DataType type_ = DataType::kF32;  // of most of the weights written
};

}  // namespace

ConvertReport ConvertCheckpoint(const ConvertOptions& options, const ConvertCallbacks& callbacks) {
  return Converter(options, callbacks).Run();
}

}  // namespace blockformer
