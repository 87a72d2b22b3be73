#include "config/stack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "config/parameters.h"

namespace blockformer {
namespace {

using ::testing::HasSubstr;

Json LlamaJson() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", 160},
          {"hidden_size", 64},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"intermediate_size", 176},
          {"max_position_embeddings", 256},
          {"rms_norm_eps", 1e-5},
          {"hidden_act", "silu"},
          {"tie_word_embeddings", false},
          {"bos_token_id", 1},
          {"eos_token_id", 2},
          {"pad_token_id", nullptr},
          {"rope_theta", 500000.0},
          {"torch_dtype", "bfloat16"},
          {"use_cache", true}};
}

Json Changed(Json json, const Json& fields) {
  for (const auto& [key, value] : fields.items()) json[key] = value;
  return json;
}

std::string MessageOf(const Json& json) {
  try {
    ModelConfigFromJson(json, "config.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// Every number of a row belongs to one query, key or value.
TEST(HeadLayoutTest, CoversARow) {
  for (const HeadLayout& layout : {HeadLayout::Grouped(4, 4, 8), HeadLayout::Grouped(6, 2, 5),
                                   HeadLayout::Split(6, 2, 5), HeadLayout::Split(3, 1, 7)}) {
    std::vector<int> users(layout.width);
    const auto use = [&](int64_t offset) {
      for (int64_t d = 0; d < layout.head_size; ++d) ++users[offset + d];
    };
    for (int64_t head = 0; head < layout.heads; ++head) use(layout.Query(head));
    for (int64_t head = 0; head < layout.kv_heads; ++head) {
      use(layout.Key(head));
      use(layout.Value(head));
    }
    EXPECT_THAT(users, testing::Each(1));
  }
  // GPT-NeoX's: for each head its query, key and value.
  const HeadLayout neox = HeadLayout::Grouped(2, 2, 8);
  EXPECT_EQ(neox.Query(1), 24);
  EXPECT_EQ(neox.Key(1), 32);
  EXPECT_EQ(neox.Value(0), 16);
}

TEST(StackTest, NamesTensorsAsHuggingFaceDoes) {
  const ModelConfig config = ModelConfigFromJson(LlamaJson(), "test");
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const ParameterSpec& spec : ListParameters(config)) shapes[spec.name] = spec.shape;
  const std::map<std::string, std::vector<int64_t>> layer = {
      {"input_layernorm", {64}},      {"post_attention_layernorm", {64}},
      {"self_attn.q_proj", {64, 64}}, {"self_attn.k_proj", {32, 64}},
      {"self_attn.v_proj", {32, 64}}, {"self_attn.o_proj", {64, 64}},
      {"mlp.gate_proj", {176, 64}},   {"mlp.up_proj", {176, 64}},
      {"mlp.down_proj", {64, 176}}};
  std::map<std::string, std::vector<int64_t>> expected = {{"model.embed_tokens.weight", {160, 64}},
                                                          {"model.norm.weight", {64}},
                                                          {"lm_head.weight", {160, 64}}};
  for (const std::string index : {"0", "1"}) {
    for (const auto& [name, shape] : layer) {
      expected["model.layers." + index + "." + name + ".weight"] = shape;
    }
  }
  EXPECT_EQ(shapes, expected);
}

TEST(StackTest, ATiedHeadIsTheTable) {
  ModelConfig config =
      ModelConfigFromJson(Changed(LlamaJson(), {{"tie_word_embeddings", true}}), "test");
  int heads = 0;
  for (const ParameterSpec& spec : ListParameters(config)) {
    if (!spec.is_output_head) continue;
    ++heads;
    EXPECT_EQ(spec.name, "model.embed_tokens.weight");
    EXPECT_THAT(spec.aliases, testing::ElementsAre("lm_head.weight"));
    EXPECT_FALSE(spec.may_be_int8);
  }
  EXPECT_EQ(heads, 1);
}

TEST(StackTest, ReadsWhatTransformers4And5Write) {
  const ModelConfig four =
      ModelConfigFromJson(Changed(LlamaJson(), {{"rope_scaling",
                                                 {{"rope_type", "llama3"},
                                                  {"factor", 8.0},
                                                  {"low_freq_factor", 1.0},
                                                  {"high_freq_factor", 4.0},
                                                  {"original_max_position_embeddings", 32}}}}),
                          "test");
  EXPECT_EQ(four.decoder.rotary_base, 500000);
  EXPECT_EQ(four.decoder.rotary_scaling.type, RotaryScalingType::kLlama3);
  EXPECT_EQ(four.decoder.rotary_scaling.original_positions, 32);
  EXPECT_EQ(four.decoder.KvHeads(), 2);
  EXPECT_EQ(four.decoder.HeadSize(), 16);
  EXPECT_EQ(four.bos_token_id, 1);
  Json five = LlamaJson();
  five.erase("rope_theta");
  five.erase("torch_dtype");
  five["dtype"] = "bfloat16";
  five["rope_parameters"] = {{"rope_theta", 500000.0},  {"rope_type", "llama3"},
                             {"factor", 8.0},           {"low_freq_factor", 1.0},
                             {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 32}};
  EXPECT_EQ(ModelConfigFromJson(five, "test"), four);
  // An old name, and a field that is not set.
  const ModelConfig linear = ModelConfigFromJson(
      Changed(LlamaJson(), {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}}), "test");
  EXPECT_EQ(linear.decoder.rotary_scaling.type, RotaryScalingType::kLinear);
  const ModelConfig yarn =
      ModelConfigFromJson(Changed(LlamaJson(), {{"rope_scaling",
                                                 {{"type", "yarn"},
                                                  {"factor", 4.0},
                                                  {"mscale", nullptr},
                                                  {"original_max_position_embeddings", 64}}}}),
                          "test");
  EXPECT_NEAR(yarn.decoder.rotary_scaling.attention_factor, 1.138629436, 1e-8);  // 0.1 ln 4 + 1
}

TEST(StackTest, ReadsFamilies) {
  const StackConfig qwen2 = ModelConfigFromJson(Changed(LlamaJson(), {{"model_type", "qwen2"},
                                                                      {"use_sliding_window", false},
                                                                      {"sliding_window", 8},
                                                                      {"max_window_layers", 28}}),
                                                "test")
                                .decoder;
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_FALSE(qwen2.attention_out_bias);
  const StackConfig qwen3 =
      ModelConfigFromJson(Changed(LlamaJson(), {{"model_type", "qwen3"}}), "test").decoder;
  EXPECT_TRUE(qwen3.qk_norm);
  EXPECT_EQ(qwen3.HeadSize(), 128);  // the class's, since the file does not say it
  const StackConfig biased =
      ModelConfigFromJson(Changed(LlamaJson(), {{"attention_bias", true}, {"mlp_bias", true}}),
                          "test")
          .decoder;
  EXPECT_TRUE(biased.qkv_bias && biased.attention_out_bias && biased.mlp_bias);
  // A window as long as the context hides nothing.
  EXPECT_EQ(ModelConfigFromJson(
                Changed(LlamaJson(), {{"model_type", "mistral"}, {"sliding_window", 256}}), "test")
                .decoder.family,
            StackFamily::kMistral);
}

TEST(StackTest, RefusesWhatItDoesNotObeyByName) {
  const std::vector<std::pair<Json, std::string>> cases = {
      {{{"rope_scaling", {{"rope_type", "longrope"}, {"factor", 2.0}}}}, "rope_scaling.rope_type"},
      {{{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.0}}}}, "dynamic"},
      {{{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}, {"odd", 1}}}},
       "rope_scaling.odd"},
      {{{"model_type", "mistral"}, {"sliding_window", 128}}, "sliding_window"},
      {{{"model_type", "qwen2"},
        {"use_sliding_window", true},
        {"max_window_layers", 1},
        {"sliding_window", 8}},
       "sliding_window"},
      {{{"hidden_act", "gelu"}}, "hidden_act"},
      {{{"partial_rotary_factor", 0.5}}, "partial_rotary_factor"},
      {{{"num_key_value_heads", 3}}, "num_key_value_heads"},
      {{{"quantization_config", {{"bits", 4}}}}, "quantization_config"},
      {{{"rope_interleaved", true}}, "rope_interleaved"},
      {{{"auto_map", {{"AutoModelForCausalLM", "modeling_x.Model"}}}}, "code of its own"},
      {{{"use_mrope", true}}, "use_mrope: is not known here"},
      {{{"some_new_field", 1}}, "some_new_field"}};
  for (const auto& [fields, named] : cases) {
    EXPECT_THAT(MessageOf(Changed(LlamaJson(), fields)), HasSubstr(named));
  }
  EXPECT_THAT(MessageOf({{"model_type", "gpt_neox"}, {"some_new_field", 1}}),
              HasSubstr("some_new_field"));
}

// Qwen2.5's files have `use_mrope`; transformers 4 wrote its base class's fields where a
// configuration was dumped whole.
TEST(StackTest, PassesOverWhatChangesNothing) {
  const Json fields = {{"use_mrope", false},
                       {"pruned_heads", Json::object()},
                       {"some_list", Json::array()},
                       {"some_text", ""},
                       {"bad_words_ids", nullptr},
                       {"return_dict", true},
                       {"chunk_size_feed_forward", 0},
                       {"id2label", {{"0", "LABEL_0"}}},
                       {"temperature", 0.6},
                       {"max_length", 20},
                       {"tokenizer_class", "LlamaTokenizer"},
                       {"auto_map", {{"AutoTokenizer", "tokenization_x.Tokenizer"}}},
                       {"_name_or_path", "somewhere"}};
  const ModelConfig plain = ModelConfigFromJson(LlamaJson(), "test");
  for (const auto& [key, value] : fields.items()) {
    const Json with_field = Changed(LlamaJson(), {{key, value}});
    EXPECT_EQ(MessageOf(with_field), "no error");
    if (MessageOf(with_field) == "no error") {
      EXPECT_EQ(ModelConfigFromJson(with_field, "test"), plain) << key;
    }
  }
}

TEST(StackTest, WritesWhatItReads) {
  Json block = {{"model_type", "block_transformer"},
                {"vocab_size", 160},
                {"block_length", 4},
                {"tie_word_embeddings", true},
                {"embedder", {{"type", "lookup"}, {"projection", "concat"}, {"hidden_size", 16}}}};
  const Json stack = {
      {"architecture", "qwen3"},
      {"hidden_size", 64},
      {"num_hidden_layers", 2},
      {"num_attention_heads", 4},
      {"num_key_value_heads", 2},
      {"head_dim", 32},
      {"intermediate_size", 176},
      {"rms_norm_eps", 1e-6},
      {"rope_theta", 10000.0},
      {"rope_scaling",
       {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 64}}}};
  block["block_decoder"] = Changed(stack, {{"architecture", "llama"}});
  block["token_decoder"] = Changed(
      stack, {{"type", "prefix"}, {"expansion_ratio", 2}, {"expansion", "expansion_layer"}});
  for (const Json& json :
       {block, LlamaJson(), Changed(LlamaJson(), {{"model_type", "qwen2"}}),
        Changed(LlamaJson(), {{"model_type", "mistral"}, {"tie_word_embeddings", true}})}) {
    const ModelConfig config = ModelConfigFromJson(json, "test");
    EXPECT_EQ(ModelConfigFromJson(Json(ModelConfigToJson(config)), "written"), config);
    const Json recipe(ModelConfigToRecipe(config));
    EXPECT_EQ(ModelConfigFromRecipe(ObjectReader(recipe, "recipe")), config);
  }
}

}  // namespace
}  // namespace blockformer
