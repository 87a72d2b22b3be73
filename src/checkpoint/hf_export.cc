#include "checkpoint/hf_export.h"

#include "base/file.h"
#include "checkpoint/config_files.h"
#include "checkpoint/model_directory.h"
#include "text/tokenizer_config.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

// Writes the code that runs a block model, and names its classes in the model's config.json.
void WriteCode(const std::string& directory, OrderedJson* config) {
  (*config)["architectures"] = {"BlockformerForCausalLM"};
  (*config)["auto_map"] = {{"AutoConfig", "configuration_blockformer.BlockformerConfig"},
                           {"AutoModelForCausalLM", "modeling_blockformer.BlockformerForCausalLM"}};
  for (const EmbeddedFile& file : HfFiles()) {
    WriteFileAtomically(directory + "/" + file.name, std::string(file.text()));
  }
}

// Vocabulary tables are often padded beyond the tokenizer's ids.
void SuppressMissingIds(const ModelConfig& config, const Tokenizer& tokenizer,
                        OrderedJson* generation) {
  std::vector<int32_t> ids = tokenizer.MissingIds();
  for (int32_t id = tokenizer.VocabSize(); id < config.vocab_size; ++id) ids.push_back(id);
  if (!ids.empty()) (*generation)["suppress_tokens"] = ids;
}

// Without it AutoTokenizer would look for a class by the model's type. Prompts are padded on the
// left, so that what is generated follows them.
void WriteTokenizerConfig(const std::string& directory, const ModelConfig& config,
                          const Tokenizer& tokenizer) {
  const bool is_pair = !FileExists(directory + "/" + kTokenizerFile);  // GPT-2's
  OrderedJson json = {{"tokenizer_class", is_pair ? "GPT2Tokenizer" : "PreTrainedTokenizerFast"},
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
  WriteJsonFile(directory + "/" + kTokenizerConfigFile, json);
}

}  // namespace

void WriteHfExport(const std::string& directory, const ModelConfig& config, DataType type,
                   const OrderedJson& sampling_defaults, const Tokenizer* tokenizer) {
  ConfigFiles files = MakeConfigFiles(config, type, sampling_defaults);
  if (config.kind == ModelKind::kBlock) {
    WriteCode(directory, &files.config);
  } else {
    files.config.erase(kOwnConfigKey);
  }
  if (tokenizer != nullptr) SuppressMissingIds(config, *tokenizer, &files.generation);
  WriteConfigFiles(directory, files);
  if (tokenizer != nullptr && !FileExists(directory + "/" + kTokenizerConfigFile)) {
    WriteTokenizerConfig(directory, config, *tokenizer);
  }
}

}  // namespace blockformer
