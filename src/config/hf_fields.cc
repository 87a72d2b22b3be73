#include "config/hf_fields.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <string_view>

namespace blockformer {
namespace {

// Fields without a say in what a language model of one of our families computes.
const std::set<std::string_view>& FieldsWithoutEffect() {
  static const std::set<std::string_view> fields = {
      // Names, and who wrote the file.
      "architectures", "model_type", "name_or_path", "tokenizer_class", "transformers_version",
      "transformers.js_config", "unsloth_fixed", "unsloth_version", "blockformer",
      // Types and caches in memory.
      "dtype", "torch_dtype", "torchscript", "use_bfloat16", "use_cache", "use_sdpa",
      "attn_implementation", "chunk_size_feed_forward", "pretraining_tp", "is_llama_config",
      "return_dict", "output_attentions", "output_hidden_states", "output_scores",
      "return_dict_in_generate", "tf_legacy_loss",
      // Training.
      "attention_dropout", "classifier_dropout", "gradient_checkpointing", "hidden_dropout",
      "initializer_range",
      // Qwen's, read where a window is in use.
      "max_window_layers",
      // Other tasks than language models.
      "finetuning_task", "id2label", "label2id", "num_labels", "problem_type",
      "task_specific_params",
      // Generation, as older files have it.
      "bad_words_ids", "begin_suppress_tokens", "bos_token_id", "cls_token_id",
      "decoder_start_token_id", "diversity_penalty", "do_sample", "early_stopping",
      "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "forced_bos_token_id",
      "forced_eos_token_id", "length_penalty", "max_length", "max_new_tokens", "min_length",
      "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "prefix",
      "remove_invalid_values", "repetition_penalty", "sep_token_id", "suppress_tokens",
      "temperature", "top_k", "top_p", "typical_p"};
  return fields;
}

bool IsSwitchedOff(const Json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.empty() || value == false;  // empty() is true of null
}

// What `auto_map` brings for other tasks, and for the tokenizer, is no matter of the model's.
bool HasModelCode(const Json& auto_map) {
  return auto_map.is_object() &&
         (auto_map.contains("AutoModel") || auto_map.contains("AutoModelForCausalLM"));
}

void RejectField(const ObjectReader& reader, const std::string& key, const Json& value) {
  const auto fail = [&](const std::string& problem) {
    reader.FailField(key, problem, ErrorCode::kUnsupported);
  };
  if (key == "quantization_config") {
    fail(
        "quantised weights of this kind are not supported; a model in F32, F16 or BF16 is wanted, "
        "or a GGUF file of it");
  }
  if (key == "auto_map") {
    if (!HasModelCode(value)) return;
    fail(
        "the model comes with code of its own, which is not run; only transformers' own classes "
        "of its model_type are supported");
  }
  fail(
      "is not known here and might change what the model computes; if it does not, take it out of "
      "the file");
}

bool HasNoEffect(const ObjectReader& reader, const std::string& key) {
  return FieldsWithoutEffect().contains(key) || reader.IsKnown(key);
}

}  // namespace

void RejectUnknownHfFields(const ObjectReader& reader, const Json& json) {
  for (const auto& [key, value] : json.items()) {
    const bool passes = key.starts_with("_") || IsSwitchedOff(value) || HasNoEffect(reader, key);
    if (!passes) RejectField(reader, key, value);
  }
}

void RejectUnknownBlockFields(const ObjectReader& reader, const Json& json) {
  // What the classes for transformers that are exported with a model add.
  constexpr std::array<std::string_view, 4> kOfClasses = {
      "auto_map", "is_encoder_decoder", "max_position_embeddings", "_name_or_path"};
  for (const auto& [key, value] : json.items()) {
    const bool is_of_class = std::ranges::find(kOfClasses, key) != kOfClasses.end();
    const bool passes = value.is_null() || is_of_class || HasNoEffect(reader, key);
    if (!passes) RejectField(reader, key, value);
  }
}

}  // namespace blockformer
