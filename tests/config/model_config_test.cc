#include "config/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "config/parameters.h"

namespace blockformer {
namespace {

ModelConfig BlockConfig() {
  ModelConfig config;
  config.kind = ModelKind::kBlock;
  config.vocab_size = 160;
  config.max_length = 64;
  config.block_length = 4;
  config.embedder.hidden_size = 16;
  config.decoder = {64, 2, 4, 256};
  config.token_decoder = {64, 2, 4, 256};
  config.prefix_length = 2;
  return config;
}

ModelConfig ClsCrossAttentionConfig() {
  ModelConfig config = BlockConfig();
  config.embedder = {EmbedderType::kRobertaCls, EmbedderProjection::kConv1d, 48, {2, 4, 96}};
  config.embedder.encoder.num_cls_tokens = 3;
  config.embedder.encoder.cls_token_id = 2;
  config.token_decoder_type = TokenDecoderType::kCrossAttention;
  config.token_decoder = {};
  config.t5 = {40, 2, 3, 16, 80};
  config.prefix_length = config.block_length;
  config.begin_token_id = 1;
  return config;
}

ModelConfig RobertaSummationConfig() {
  ModelConfig config = BlockConfig();
  config.embedder = {EmbedderType::kRoberta, EmbedderProjection::kConv1d, 48, {2, 4, 96}};
  config.embedder.encoder.dropout = 0;
  config.token_decoder_type = TokenDecoderType::kSummation;
  config.token_decoder = {32, 3, 2, 64};
  config.prefix_length = config.block_length;
  config.begin_token_id = 7;
  return config;
}

ModelConfig MeanConfig() {
  ModelConfig config = BlockConfig();
  config.embedder.projection = EmbedderProjection::kMean;
  config.embedder.hidden_size = 64;
  config.expansion = Expansion::kRepeat;
  return config;
}

ModelConfig VanillaConfig() {
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = 160;
  config.max_length = 64;
  config.decoder = {48, 3, 4, 160, 1.0, 5000, false, 1e-6};
  return config;
}

// Reads back what was written, after `change` to the JSON.
template <typename Change>
ModelConfig Reread(const ModelConfig& config, Change change) {
  OrderedJson json = ModelConfigToJson(config);
  change(json);
  return ModelConfigFromJson(ParseJson(json.dump(), "config.json"), "config.json");
}

TEST(ModelConfig, SeveralIdsMayEndAText) {
  OrderedJson json = ModelConfigToJson(BlockConfig());
  json["eos_token_id"] = {7, 9, 7, 3};
  const ModelConfig config = ModelConfigFromJson(Json::parse(json.dump()), "config.json");
  EXPECT_EQ(config.eos_token_id, 7);  // what training writes
  EXPECT_THAT(config.other_eos_token_ids, testing::ElementsAre(9, 3));
  for (const int64_t id : {3, 7, 9}) EXPECT_TRUE(config.EndsText(id));
  EXPECT_FALSE(config.EndsText(8));
  json["eos_token_id"] = {7, 9, 3};
  EXPECT_EQ(ModelConfigToJson(config), json);
}

TEST(ModelConfigTest, SurvivesConfigJson) {
  for (const ModelConfig& config : {BlockConfig(), ClsCrossAttentionConfig(),
                                    RobertaSummationConfig(), MeanConfig(), VanillaConfig()}) {
    EXPECT_EQ(Reread(config, [](OrderedJson&) {}), config);
  }
}

TEST(ModelConfigTest, AFieldOfABlockModelThatIsNotKnownIsAnError) {
  OrderedJson json = ModelConfigToJson(BlockConfig());
  json["transformers_version"] = "5.0.0";
  json["max_position_embeddings"] = 64;
  json["auto_map"] = {{"AutoModelForCausalLM", "modeling_blockformer.Model"}};
  EXPECT_EQ(ModelConfigFromJson(json, "config.json"), BlockConfig());
  json["anything"] = nullptr;
  for (const auto& [field, value] : std::vector<std::pair<std::string, OrderedJson>>{
           {"pading", {{"random_first_block", false}}}, {"random_first_block", false}}) {
    OrderedJson wrong = json;
    wrong[field] = value;
    try {
      ModelConfigFromJson(wrong, "config.json");
      ADD_FAILURE() << field << " is taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_THAT(error.what(), testing::HasSubstr("config.json: " + field + ": is not known"));
    }
  }
}

TEST(ModelConfigTest, VanillaConfigJsonIsHuggingFaces) {
  const OrderedJson json = ModelConfigToJson(VanillaConfig());
  EXPECT_EQ(json["model_type"], "gpt_neox");
  EXPECT_EQ(json["architectures"][0], "GPTNeoXForCausalLM");
  EXPECT_EQ(json["rotary_emb_base"], 5000);
}

TEST(ModelConfigTest, ContradictionsAreErrors) {
  const auto expect_error = [](const ModelConfig& config, auto change, const char* part) {
    try {
      Reread(config, change);
      ADD_FAILURE() << "no error about " << part;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(part));
      EXPECT_THAT(error.what(), testing::HasSubstr("config.json"));
    }
  };
  const ModelConfig block = BlockConfig();
  expect_error(
      block, [](auto& j) { j["block_length"] = 3; }, "multiple of block_length");
  expect_error(
      block, [](auto& j) { j["block_length"] = 0; }, "block_length: 0");
  expect_error(
      block, [](auto& j) { j["embedder"]["hidden_size"] = 17; }, "embedder.hidden_size");
  expect_error(
      block, [](auto& j) { j["embedder"]["type"] = "elmo"; }, "embedder.type");
  expect_error(
      block, [](auto& j) { j["embedder"]["extra"] = 1; }, "embedder.extra");
  expect_error(
      block, [](auto& j) { j["token_decoder"]["expansion_ratio"] = 65; }, "65");
  expect_error(
      block, [](auto& j) { j["block_decoder"]["num_attention_heads"] = 5; }, "multiple");
  expect_error(
      block, [](auto& j) { j["block_decoder"].erase("intermediate_size"); }, "missing");
  expect_error(
      block, [](auto& j) { j["eos_token_id"] = 160; }, "vocab_size");
  expect_error(
      block,
      [](auto& j) {
        j["eos_token_id"] = {1, 160};
      },
      "vocab_size");
  expect_error(
      block, [](auto& j) { j["eos_token_id"] = OrderedJson::array(); }, "eos_token_id: []");
  expect_error(
      block,
      [](auto& j) {
        j["eos_token_id"] = {1, "2"};
      },
      "eos_token_id: [1,\"2\"]");
  const ModelConfig cls = ClsCrossAttentionConfig();
  expect_error(
      cls, [](auto& j) { j["embedder"]["projection"] = "sum"; }, "embedder.projection");
  expect_error(
      cls, [](auto& j) { j["embedder"].erase("n_cls_tokens"); }, "n_cls_tokens");
  expect_error(
      cls, [](auto& j) { j["embedder"]["num_attention_heads"] = 5; }, "embedder.hidden_size 48");
  expect_error(
      cls, [](auto& j) { j["embedder"]["max_position_embeddings"] = 8; }, "take 9");
  expect_error(
      cls, [](auto& j) { j["embedder"]["cls_token_id"] = 160; }, "vocab_size");
  expect_error(
      cls, [](auto& j) { j["embedder"]["dropout"] = 1; }, "embedder.dropout");
  expect_error(
      cls, [](auto& j) { j["token_decoder"]["expansion_ratio"] = 4; },
      "token_decoder.expansion_ratio");
  expect_error(
      cls, [](auto& j) { j["token_decoder"]["relative_attention_max_distance"] = 16; }, "buckets");
  expect_error(
      cls, [](auto& j) { j["token_decoder"]["bos_token_id"] = 160; }, "bos_token_id");
  expect_error(
      cls, [](auto& j) { j["token_decoder"]["expansion"] = "repeat"; }, "equal widths");
  expect_error(
      VanillaConfig(), [](auto& j) { j["hidden_size"] = -4; }, "hidden_size");
  expect_error(
      VanillaConfig(), [](auto& j) { j["rotary_pct"] = 0.1; }, "even number");
  expect_error(
      VanillaConfig(),
      [](auto& j) {
        j["rope_scaling"] = {{"factor", 2}};
      },
      "rope_scaling");
  expect_error(
      VanillaConfig(), [](auto& j) { j["hidden_act"] = "relu"; }, "hidden_act");
  expect_error(
      VanillaConfig(), [](auto& j) { j["model_type"] = "mamba"; }, "model_type");
}

TEST(ParametersTest, ListsTheShapesOfABlockModel) {
  bool found = false;
  for (const ParameterSpec& spec : ListParameters(BlockConfig())) {
    if (spec.name != "token_decoder.expansion_layer.weight") continue;
    found = true;
    EXPECT_EQ(spec.shape, (std::vector<int64_t>{128, 64, 1}));
    EXPECT_DOUBLE_EQ(spec.init_stddev, 1.0 / 8);
  }
  EXPECT_TRUE(found);
}

TEST(ParametersTest, CountsAddUp) {
  const ParameterCounts counts = CountParameters(BlockConfig());
  EXPECT_EQ(counts.total, counts.used + counts.unused);
  EXPECT_EQ(counts.unused, 160 * 64);
  EXPECT_EQ(counts.non_embedding, counts.embedder + counts.decoder + counts.token_decoder);
  EXPECT_EQ(counts.used - counts.non_embedding, 160 * (16 + 64 + 64));
}

TEST(ParametersTest, TiedTensorsCountOnce) {
  const ParameterCounts counts = CountParameters(ClsCrossAttentionConfig());
  EXPECT_EQ(counts.used - counts.non_embedding, 160 * (48 + 40));
  EXPECT_EQ(counts.total, counts.used + 160 * 64);
}

TEST(MultiplyAddsTest, CountEncoderAndCrossAttentionByHand) {
  // The encoder sees 2 CLS tokens and 4 of the block: 6 positions of 1 layer of width 8 with
  // feed-forward 16, then 2 outputs become 4 numbers.
  ModelConfig config = ClsCrossAttentionConfig();
  config.vocab_size = 10;
  config.decoder = {4, 1, 1, 8};
  config.embedder.hidden_size = 8;
  config.embedder.encoder.num_layers = 1;
  config.embedder.encoder.intermediate_size = 16;
  config.embedder.encoder.num_cls_tokens = 2;
  const double encoder = 6 * (4 * 64 + 2 * 8 * 16 + 2 * 8 * 6) + 2 * 8 * 4;
  const double block = 128 + 2 * 4 * 1;
  EXPECT_DOUBLE_EQ(PrefillMultiplyAdds(config, 4), encoder + block);
  // One T5 layer of width 6 with 2 heads of 5 and feed-forward 12: a token has queries, keys,
  // values and outputs of its own, and queries and outputs for the 4 vectors.
  config.t5 = {6, 1, 2, 5, 12};
  const double weights = 6 * 6 * 10 + 2 * 6 * 12;
  const double attention = 2 * 10 * (1 + 2 + 3 + 4 + 4 * 4);
  const double vectors = 4 * 6 * 4 + 4 * 2 * 6 * 10;  // expansion; keys and values
  const double head = 4 * 6 * 10;
  EXPECT_DOUBLE_EQ(DecodeMultiplyAddsPerToken(config, 4) * 4,
                   encoder + block + 4 * weights + attention + vectors + head);
}

TEST(MultiplyAddsTest, AgreeWithACountByHand) {
  // One layer of width 4 with feed-forward 8: 4*16 + 2*32 = 128 weights. A context of 3 attends to
  // 1, 2 and 3 keys, 2 * 4 multiply-adds each. The head has 10 * 4.
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = 10;
  config.decoder = {4, 1, 1, 8};
  EXPECT_DOUBLE_EQ(MultiplyAddsPerToken(config, 3), 128 + 2 * 4 * 2 + 40);
  EXPECT_DOUBLE_EQ(PrefillMultiplyAdds(config, 3), 3 * 128 + 2 * 4 * 6);
  EXPECT_DOUBLE_EQ(DecodeMultiplyAddsPerToken(config, 5), 128 + 2 * 4 * 5 + 40);
  EXPECT_DOUBLE_EQ(KvBytesPerToken(config, NumberType::kF32), 32);
  EXPECT_DOUBLE_EQ(KvBytesPerToken(config, NumberType::kF16), 16);
  // A key and a value, each of 4 numbers and a scale of its one head.
  EXPECT_DOUBLE_EQ(KvBytesPerToken(config, NumberType::kInt8), 2 * (4 + 4));
}

TEST(MultiplyAddsTest, CountSharedKeysAndSwiGluByHand) {
  // Width 4, 4 heads of 3 that share 2 keys and values, feed-forward 8 with a gate.
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = 10;
  config.decoder = {4, 1, 4, 8};
  config.decoder.family = StackFamily::kLlama;
  config.decoder.num_kv_heads = 2;
  config.decoder.head_dim = 3;
  config.decoder.mlp = Mlp::kSwiGlu;
  const double weights = 4 * (12 + 6 + 6) + 12 * 4 + 3 * 4 * 8;
  EXPECT_DOUBLE_EQ(DecodeMultiplyAddsPerToken(config, 5), weights + 2 * 12 * 5 + 40);
  EXPECT_DOUBLE_EQ(KvBytesPerToken(config, NumberType::kF16), 2 * 2 * 6);
  EXPECT_DOUBLE_EQ(KvBytesPerToken(config, NumberType::kInt8), 2 * (6 + 2 * 4));
}

}  // namespace
}  // namespace blockformer
