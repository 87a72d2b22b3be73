#include "checkpoint/uptrain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "checkpoint/convert.h"
#include "checkpoint/model_directory.h"
#include "tests/checkpoint/convert_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class UptrainTest : public ConvertTest {};

TEST_F(UptrainTest, UptrainsEveryFamily) {
  for (const StackFamily family : kOtherFamilies) {
    const ModelConfig config = ConfigOfFamily(family);
    WriteModel("vanilla", config, DataType::kF32);
    ConvertOptions options = Options("vanilla", "block");
    options.uptrain = UptrainOptions{.method = UptrainMethod::kPartition, .block_length = 4};
    const ModelConfig block = Convert(options).config;
    EXPECT_EQ(block.HasTiedHead(), config.HasTiedHead());
    EXPECT_EQ(block.token_decoder.KvHeads(), 1);
    const SafetensorsWeights from(Path("vanilla"), config);
    const SafetensorsWeights to(Path("block"), block);
    const auto expect_copy = [&](const std::string& name, const std::string& source) {
      EXPECT_TRUE(std::ranges::equal(to.Get(name).bytes, from.Get(source).bytes)) << name;
    };
    expect_copy("block_decoder.model.layers.1.mlp.gate_proj.weight",
                "model.layers.1.mlp.gate_proj.weight");
    expect_copy("token_decoder.model.layers.1.self_attn.k_proj.weight",
                "model.layers.3.self_attn.k_proj.weight");
    expect_copy("token_decoder.model.norm.weight", "model.norm.weight");
    expect_copy("token_decoder.model.embed_tokens.weight", "model.embed_tokens.weight");
    expect_copy("embedder.embeddings.weight", "model.embed_tokens.weight");
    EXPECT_THAT(to.Floats("block_decoder.model.norm.weight"), testing::Each(1));
    EXPECT_EQ(to.Contains("token_decoder.lm_head.weight"), !config.HasTiedHead());
    std::filesystem::remove_all(directory_);
  }
}

TEST_F(UptrainTest, UptrainedModelsTakeTheLayersOfTheirMethod) {
  WriteModel("vanilla", VanillaConfig());
  const SafetensorsWeights vanilla(Path("vanilla"), VanillaConfig());
  struct Case {
    UptrainMethod method;
    int64_t block_layers, token_layers;
    int block_last, token_last;  // the vanilla layers that the last ones come from
  };
  for (const Case& expected :
       {Case{UptrainMethod::kPartition, 2, 2, 1, 3}, Case{UptrainMethod::kSkip, 2, 2, 2, 2},
        Case{UptrainMethod::kDuplicate, 4, 4, 3, 3}}) {
    ConvertOptions options = Options("vanilla", "block");
    options.replace = true;
    options.uptrain = UptrainOptions{.method = expected.method, .block_length = 5};
    const ConvertReport report = Convert(options);
    EXPECT_EQ(report.config.decoder.num_layers, expected.block_layers);
    EXPECT_EQ(report.config.token_decoder.num_layers, expected.token_layers);
    EXPECT_EQ(report.config.max_length, 60) << "whole blocks of 64 tokens";
    const SafetensorsWeights block(Path("block"), report.config);
    const auto same = [&](const char* prefix, int64_t layer, int origin) {
      const std::string field = ".attention.dense.weight";
      EXPECT_TRUE(std::ranges::equal(
          block.Get(fmt::format("{}.layers.{}{}", prefix, layer, field)).bytes,
          vanilla.Get(fmt::format("gpt_neox.layers.{}{}", origin, field)).bytes));
    };
    same("block_decoder.gpt_neox", expected.block_layers - 1, expected.block_last);
    same("token_decoder.gpt_neox", expected.token_layers - 1, expected.token_last);
    const std::vector<float> projection =
        ToFloats(block.Get("embedder.projection_layer.weight"), "projection");
    EXPECT_EQ(projection[0], 1.0f / 5);
    EXPECT_EQ(projection[5], 0.0f);
    EXPECT_EQ(std::ranges::count(projection, 1.0f / 5), 8 * 5);
  }
}

TEST_F(UptrainTest, UptrainingSaysWhatCannotBe) {
  ModelConfig odd = VanillaConfig();
  odd.decoder.num_layers = 3;
  WriteModel("odd", odd);
  ConvertOptions options = Options("odd", "x");
  options.uptrain = UptrainOptions{.method = UptrainMethod::kSkip, .block_length = 4};
  EXPECT_THAT(ErrorOf(options), HasSubstr("even number"));
  options.uptrain = UptrainOptions{.block_length = 4, .block_layers = 3};
  EXPECT_THAT(ErrorOf(options), HasSubstr("leave the token decoder"));
  options.uptrain->block_layers = 0;
  EXPECT_EQ(Convert(options).config.decoder.num_layers, 2);  // the odd one
  options.uptrain->block_length = 32;
  options.destination = Path("half");
  EXPECT_EQ(Convert(options).config.max_length, 64);
  options.destination = Path("z");
  for (const int64_t length : {0, 33, 64, 65}) {
    options.uptrain->block_length = length;
    EXPECT_THAT(ErrorOf(options),
                HasSubstr(fmt::format("`block_length`: {}; 1 to 32 is possible", length)));
  }
  options = Options("x", "y");
  options.uptrain = UptrainOptions{.block_length = 4};
  EXPECT_THAT(ErrorOf(options), HasSubstr("only a vanilla model"));
}

}  // namespace
}  // namespace blockformer
