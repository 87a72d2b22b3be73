#include "checkpoint/hf_export.h"

#include "base/file.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/model_directory.h"
#include "text/tokenizer_config.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

OrderedJson ReadOwnJson(const std::string& path) { return OrderedJson::parse(ReadFile(path)); }

void WriteJson(const std::string& path, const OrderedJson& json) {
  WriteFileAtomically(path, json.dump(2) + "\n");
}

// Names the classes of the files beside it.
void WriteBlockConfig(const std::string& directory, const ModelConfig& config, DataType type) {
  WriteModelConfig(directory, config, type);
  const std::string path = directory + "/" + kConfigFile;
  OrderedJson json = ReadOwnJson(path);
  json["architectures"] = {"BlockformerForCausalLM"};
  json["auto_map"] = {{"AutoConfig", "configuration_blockformer.BlockformerConfig"},
                      {"AutoModelForCausalLM", "modeling_blockformer.BlockformerForCausalLM"}};
  WriteJson(path, json);
  for (const EmbeddedFile& file : HfFiles()) {
    WriteFileAtomically(directory + "/" + file.name, std::string(file.text()));
  }
}

// Vocabulary tables are often padded beyond the tokenizer's ids.
void SuppressMissingIds(const std::string& directory, const ModelConfig& config,
                        const Tokenizer& tokenizer) {
  std::vector<int32_t> ids = tokenizer.MissingIds();
  for (int32_t id = tokenizer.VocabSize(); id < config.vocab_size; ++id) ids.push_back(id);
  if (ids.empty()) return;
  const std::string path = directory + "/" + kGenerationConfigFile;
  OrderedJson json = ReadOwnJson(path);
  json["suppress_tokens"] = ids;
  WriteJson(path, json);
}

// Without it AutoTokenizer would look for a class by the model's type. Prompts are padded on the
// left, so that what is generated follows them.
void WriteTokenizerConfig(const std::string& directory, const ModelConfig& config,
                          const Tokenizer& tokenizer) {
  OrderedJson json = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                      {"model_max_length", config.max_length},
                      {"padding_side", "left"},
                      {"clean_up_tokenization_spaces", false}};
  const auto add = [&](const char* name, int64_t id) {
    const std::string token(tokenizer.TokenBytes(static_cast<int32_t>(id)));
    if (!token.empty() && FindInvalidUtf8(token) == token.size()) json[name] = token;
  };
  if (config.bos_token_id >= 0) add("bos_token", config.bos_token_id);
  add("eos_token", config.eos_token_id);
  add("pad_token", config.pad_token_id);
  WriteJson(directory + "/" + kTokenizerConfigFile, json);
}

}  // namespace

void WriteHfExport(const std::string& directory, const ModelConfig& config, DataType type,
                   const Tokenizer* tokenizer) {
  if (config.kind == ModelKind::kBlock) {
    WriteBlockConfig(directory, config, type);
  } else {
    WriteHfConfig(directory, config, type);
  }
  if (tokenizer == nullptr) return;
  SuppressMissingIds(directory, config, *tokenizer);
  if (!FileExists(directory + "/" + kTokenizerConfigFile)) {
    WriteTokenizerConfig(directory, config, *tokenizer);
  }
}

}  // namespace blockformer
