// The trainer YAML of the published implementation, written for a block model.
#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "checkpoint/published_block.h"

namespace blockformer {
namespace {

OrderedJson Part(const char* type, OrderedJson base, OrderedJson config) {
  return {{"cls", type},
          {"model_name_or_path", std::move(base)},
          {"use_pretrained_weights", false},
          {"config", std::move(config)}};
}

OrderedJson NeoxPartYaml(const StackConfig& stack, const ModelConfig& model) {
  return Part("gpt-neo-x", "EleutherAI/pythia-410m-deduped",
              {{"vocab_size", model.vocab_size},
               {"hidden_size", stack.hidden_size},
               {"num_hidden_layers", stack.num_layers},
               {"num_attention_heads", stack.num_heads},
               {"intermediate_size", stack.intermediate_size},
               {"rotary_pct", stack.rotary_pct},
               {"rotary_emb_base", stack.rotary_base},
               {"use_parallel_residual", stack.parallel_residual},
               {"layer_norm_eps", stack.norm_eps},
               {"bos_token_id", model.begin_token_id},
               {"eos_token_id", model.eos_token_id},
               {"pad_token_id", model.pad_token_id}});
}

OrderedJson EmbedderYaml(const ModelConfig& model) {
  const EmbedderConfig& embedder = model.embedder;
  OrderedJson config = {{"vocab_size", model.vocab_size}, {"hidden_size", embedder.hidden_size}};
  if (embedder.type == EmbedderType::kLookup) {
    const bool concat = embedder.projection == EmbedderProjection::kConcat;
    Require(concat || embedder.projection == EmbedderProjection::kConv1d, ErrorCode::kUnsupported,
            "embedder.projection: the published implementation has concat and projection_layer "
            "only");
    OrderedJson part = Part("lookup", nullptr, std::move(config));
    part["n_embedding_tokens"] = 1;
    part["projection_method"] = concat ? "concat" : "projection_layer";
    return part;
  }
  const EncoderConfig& encoder = embedder.encoder;
  config.update(OrderedJson{{"num_hidden_layers", encoder.num_layers},
                            {"num_attention_heads", encoder.num_heads},
                            {"intermediate_size", encoder.intermediate_size},
                            {"max_position_embeddings", encoder.max_positions},
                            {"pad_token_id", encoder.pad_token_id},
                            {"bos_token_id", encoder.cls_token_id},
                            {"layer_norm_eps", encoder.layer_norm_eps},
                            {"hidden_dropout_prob", encoder.dropout},
                            {"attention_probs_dropout_prob", encoder.dropout}});
  const bool cls = embedder.type == EmbedderType::kRobertaCls;
  OrderedJson part = Part(cls ? "roberta_cls" : "roberta", "roberta-base", std::move(config));
  part["n_embedding_tokens"] = 1;
  part["projection_method"] = nullptr;
  if (cls) part["n_cls_tokens"] = encoder.num_cls_tokens;
  return part;
}

OrderedJson T5Yaml(const ModelConfig& model) {
  const T5Config& t5 = model.t5;
  return {{"vocab_size", model.vocab_size},
          {"d_model", t5.hidden_size},
          {"d_ff", t5.intermediate_size},
          {"d_kv", t5.head_size},
          {"num_layers", t5.num_layers},
          {"num_decoder_layers", t5.num_layers},
          {"num_heads", t5.num_heads},
          {"relative_attention_num_buckets", t5.num_buckets},
          {"relative_attention_max_distance", t5.max_distance},
          {"layer_norm_epsilon", t5.layer_norm_eps},
          {"dropout_rate", t5.dropout},
          {"bos_token_id", model.begin_token_id},
          {"eos_token_id", model.eos_token_id},
          {"pad_token_id", model.pad_token_id}};
}

OrderedJson TokenDecoderYaml(const ModelConfig& model) {
  const bool t5 = model.token_decoder_type == TokenDecoderType::kCrossAttention;
  OrderedJson part =
      t5 ? Part("t5", "t5-small", T5Yaml(model)) : NeoxPartYaml(model.token_decoder, model);
  const bool layer = model.expansion == Expansion::kLayer;
  part["expansion_method"] = layer ? OrderedJson("expansion_layer") : OrderedJson();
  part["expansion_ratio"] = model.prefix_length;
  part["decoding_strategy"] = t5 ? "cross_attention"
                              : model.token_decoder_type == TokenDecoderType::kPrefix ? "prefix"
                                                                                      : "summation";
  return part;
}

// As YAML 1.1 has it as well, which takes 1e-05 for text and 1.0e-05 for a number.
std::string NumberText(const OrderedJson& number) {
  std::string text = number.dump();
  const size_t exponent = text.find('e');
  const bool has_point = text.find('.') != std::string::npos;
  if (exponent != std::string::npos && !has_point) {
    text.insert(exponent, ".0");
  }
  return text;
}

void Emit(const OrderedJson& value, YAML::Emitter* out) {
  if (value.is_object()) {
    *out << YAML::BeginMap;
    for (const auto& [key, field] : value.items()) {
      *out << YAML::Key << key << YAML::Value;
      Emit(field, out);
    }
    *out << YAML::EndMap;
  } else if (value.is_string()) {
    *out << value.get<std::string>();
  } else if (value.is_null()) {
    *out << YAML::Null;
  } else if (value.is_boolean()) {
    *out << value.get<bool>();
  } else {
    *out << NumberText(value);
  }
}

}  // namespace

std::string PublishedYaml(const ModelConfig& config, const std::string& name,
                          const std::string& precision) {
  Require(config.kind == ModelKind::kBlock, ErrorCode::kUnsupported,
          "published-block holds block models only; for a vanilla one, hf is wanted");
  for (const StackConfig* stack : {&config.decoder, &config.token_decoder}) {
    Require(stack->family == StackFamily::kGptNeox, ErrorCode::kUnsupported,
            "published-block holds GPT-NeoX layers only; for those of {}, blockformer is wanted",
            NamesOf(stack->family).model_type);
  }
  const OrderedJson yaml = {
      {"name", name},
      {"block_length", config.block_length},
      {"block_split",
       {{"distribution", "fixed"}, {"distribution_kwargs", {{"length", config.block_length}}}}},
      {"max_length", config.max_length},
      {"random_pad_first_block", config.padding.random_first_block},
      {"pad_to_block_boundary", config.padding.to_block_boundary},
      {"tokenizer", {{"embedder", "pythia"}, {"token_decoder", "pythia"}}},
      {"embedder", EmbedderYaml(config)},
      {"block_decoder", NeoxPartYaml(config.decoder, config)},
      {"token_decoder", TokenDecoderYaml(config)},
      {"token_decoding_loss", {{"enable", true}}},
      {"block_decoding_loss", {{"enable", false}, {"weight", 1.0}}},
      {"auto_encoding_loss", {{"enable", false}, {"weight", 1.0}}},
      {"precision", precision}};
  YAML::Emitter out;
  Emit(yaml, &out);
  return std::string(out.c_str()) + "\n";
}

}  // namespace blockformer
