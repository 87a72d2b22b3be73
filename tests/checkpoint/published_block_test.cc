#include "checkpoint/published_block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

constexpr char kBlock[] = R"(
name: main
block_length: 4
block_split: {distribution: fixed, distribution_kwargs: {length: 4}}
max_length: 2048
tokenizer: {embedder: pythia, token_decoder: pythia}
embedder:
  cls: lookup
  n_embedding_tokens: 1
  projection_method: concat
  config: {vocab_size: 50304, hidden_size: 256}
block_decoder:
  cls: gpt-neo-x
  model_name_or_path: EleutherAI/pythia-410m-deduped
  config: {num_hidden_layers: 12, hidden_size: 1024}
token_decoder:
  cls: gpt-neo-x
  model_name_or_path: EleutherAI/pythia-410m-deduped
  expansion_method: expansion_layer
  expansion_ratio: 2
  decoding_strategy: prefix
  config: {num_hidden_layers: 6, hidden_size: 512}
)";

constexpr char kVanilla[] = R"(
name: vanilla_31
max_length: 2048
tokenizer: pythia
model: gpt-neo-x
model_name_or_path: EleutherAI/pythia-410m-deduped
model_config: {num_hidden_layers: 6, num_attention_heads: 8, hidden_size: 256}
)";

ModelConfig Read(const Json& yaml) { return PublishedConfigFromYaml(yaml, "trainer.yaml"); }

std::string ErrorOf(const Json& yaml) {
  try {
    Read(yaml);
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

// The block configuration with one field changed.
Json Changed(const std::string& pointer, Json value) {
  Json yaml = ParseYaml(kBlock, "block");
  yaml[Json::json_pointer(pointer)] = std::move(value);
  return yaml;
}

TEST(PublishedBlock, FillsBlockModelsFromTheirWidths) {
  const ModelConfig config = Read(ParseYaml(kBlock, "block"));
  EXPECT_EQ(config.decoder, (StackConfig{1024, 12, 16, 4096}));
  EXPECT_EQ(config.token_decoder, (StackConfig{512, 6, 8, 2048}));
  EXPECT_EQ(config.padding, PaddingConfig());
  Json wide = Changed("/block_decoder/config/hidden_size", 2048);
  wide["embedder"]["config"]["hidden_size"] = 512;
  EXPECT_EQ(Read(wide).decoder.num_heads, 16);
}

TEST(PublishedBlock, TakesWhatVanillaModelsLeaveOutFromTheBaseModel) {
  const ModelConfig config = Read(ParseYaml(kVanilla, "vanilla"));
  EXPECT_EQ(config.kind, ModelKind::kVanilla);
  EXPECT_EQ(config.decoder, (StackConfig{256, 6, 8, 4096}));  // not 1024
  EXPECT_EQ(config.vocab_size, 50304);
  Json yaml = ParseYaml(kVanilla, "vanilla");
  yaml.erase("model_config");
  EXPECT_EQ(Read(yaml).decoder, (StackConfig{1024, 24, 16, 4096}));
  EXPECT_TRUE(IsPublishedConfig(yaml));
}

TEST(PublishedBlock, BlockPartsWithoutConfigAreTheBaseModel) {
  Json yaml = ParseYaml(kBlock, "block");
  yaml["block_decoder"].erase("config");
  EXPECT_EQ(Read(yaml).decoder, (StackConfig{1024, 24, 16, 4096}));
}

TEST(PublishedBlock, RobertaAndT5HaveTheirOwnDefaults) {
  Json yaml = ParseYaml(kBlock, "block");
  yaml["embedder"] = {{"cls", "roberta_cls"},
                      {"model_name_or_path", "roberta-base"},
                      {"n_cls_tokens", 3},
                      {"n_embedding_tokens", 1},
                      {"projection_method", nullptr},
                      {"config", {{"hidden_size", 256}, {"vocab_size", 50304}}}};
  yaml["token_decoder"] = {{"cls", "t5"},
                           {"model_name_or_path", "t5-small"},
                           {"expansion_method", "expansion_layer"},
                           {"decoding_strategy", "cross_attention"},
                           {"config", {{"d_model", 768}, {"vocab_size", 50304}}}};
  const ModelConfig config = Read(yaml);
  EXPECT_EQ(config.embedder.encoder.num_layers, 12);
  EXPECT_EQ(config.embedder.encoder.num_heads, 8);
  EXPECT_EQ(config.embedder.encoder.intermediate_size, 1024);
  EXPECT_EQ(config.embedder.encoder.max_positions, 514);
  EXPECT_EQ(config.t5.num_layers, 6);
  EXPECT_EQ(config.t5.num_heads, 8);
  EXPECT_EQ(config.t5.intermediate_size, 2048);  // not filled from the width
  EXPECT_EQ(config.begin_token_id, 1);
  EXPECT_EQ(config.prefix_length, 4);
  const Json again = ParseYaml(PublishedYaml(config, "t5", "bf16"), "written");
  EXPECT_EQ(Read(again), config);
}

TEST(PublishedBlock, ReadsExpansionAndPadding) {
  EXPECT_EQ(Read(Changed("/token_decoder/config/hidden_size", 1024)).expansion, Expansion::kLayer);
  Json yaml = Changed("/token_decoder/config/hidden_size", 1024);
  yaml["token_decoder"]["expansion_method"] = nullptr;
  EXPECT_EQ(Read(yaml).expansion, Expansion::kRepeat);
  EXPECT_FALSE(Read(Changed("/eval_no_pad", true)).padding.random_first_block);
  EXPECT_FALSE(Read(Changed("/pad_to_block_boundary", false)).padding.to_block_boundary);
}

TEST(PublishedBlock, RefusesByName) {
  const struct {
    const char* pointer;
    Json value;
    const char* message;
  } cases[] = {
      {"/block_decoder/cls", "gpt-neo", "block_decoder.cls: \"gpt-neo\" is not supported"},
      {"/token_decoder/cls", "t5", "token_decoder.cls"},
      {"/embedder/cls", "t5", "embedder.cls: \"t5\" is not supported"},
      {"/embedder/cls", "os.system", "embedder.cls"},
      {"/embedder/n_embedding_tokens", 2, "n_embedding_tokens"},
      {"/block_split/distribution", "uniform", "block_split.distribution"},
      {"/block_length", 8, "block_length: differs"},
      {"/tokenizer/embedder", "t5", "tokenizer.embedder"},
      {"/block_decoder/model_name_or_path", "../../etc/passwd", "block_decoder.model_name_or_path"},
      {"/block_decoder/config/hidden_size", int64_t{1} << 39, "hidden_size"},
      {"/block_decoder/config/num_hidden_layers", int64_t{1} << 39, "num_hidden_layers"},
      {"/block_decoder/config/hidden_size", -4, "hidden_size"},
      {"/block_decoder/config/hidden_size", "wide", "hidden_size"},
      {"/block_decoder/config/surprise", 1, "block_decoder.config.surprise"},
      {"/block_decoder/config/vocab_size", 7, "one vocabulary"},
      {"/block_decoder/config/hidden_act", "gelu_new", "hidden_act"},
      {"/token_decoder/decoding_strategy", "telepathy", "decoding_strategy"},
      {"/token_decoder/expansion_method", "lambda", "expansion_method"},
      {"/embedder/config/hidden_size", 255, "embedder.hidden_size"},
      {"/embedder", Json::array(), "embedder"},
      {"/defaults", Json::array({"base"}), "defaults: other files are not read"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(ErrorOf(Changed(test.pointer, test.value)), HasSubstr(test.message));
  }
  EXPECT_THAT(ErrorOf(Json(3)), HasSubstr("an object is wanted"));
  Json neo = ParseYaml(kVanilla, "vanilla");
  neo["model"] = "gpt-neo";
  EXPECT_THAT(ErrorOf(neo), HasSubstr("\"gpt-neo\" is not supported"));
}

TEST(PublishedBlock, YamlBombsAndObjectsAreRefused) {
  EXPECT_THROW(ParseYaml("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "bomb"), Error);
  EXPECT_THROW(ParseYaml("embedder: !!python/object/apply:os.system [ls]\n", "object"), Error);
}

// Most programs read YAML 1.1, in which 1e-05 is a text.
TEST(PublishedBlock, NumbersAreWrittenForYaml11) {
  const std::string yaml = PublishedYaml(Read(ParseYaml(kBlock, "block")), "model", "fp32");
  EXPECT_THAT(yaml, HasSubstr("layer_norm_eps: 1.0e-05\n"));
  EXPECT_THAT(yaml, HasSubstr("rotary_emb_base: 10000.0\n"));
  EXPECT_THAT(yaml, HasSubstr("random_pad_first_block: true\n"));
}

TEST(PublishedBlock, ExportRefusesWhatThePublishedOnesCannotBe) {
  ModelConfig config = Read(ParseYaml(kBlock, "block"));
  config.embedder = {EmbedderType::kLookup, EmbedderProjection::kSum, 1024, {}};
  EXPECT_THROW(PublishedYaml(config, "sum", "fp32"), Error);
  EXPECT_THROW(PublishedYaml(Read(ParseYaml(kVanilla, "vanilla")), "vanilla", "fp32"), Error);
}

}  // namespace
}  // namespace blockformer
