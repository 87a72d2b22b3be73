#include "train/model/language_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "config/parameters.h"
#include "train/model/block_model.h"

namespace blockformer::train {
namespace {

StackConfig SmallStack() {
  StackConfig config;
  config.hidden_size = 24;
  config.num_layers = 2;
  config.num_heads = 3;
  config.intermediate_size = 40;
  config.rotary_pct = 0.5;
  return config;
}

ModelConfig SmallModel(ModelKind kind, EmbedderProjection projection, Expansion expansion) {
  ModelConfig config;
  config.kind = kind;
  config.vocab_size = 50;
  config.decoder = SmallStack();
  if (kind == ModelKind::kVanilla) return config;
  config.block_length = 3;
  config.prefix_length = 2;
  config.token_decoder = SmallStack();
  config.expansion = expansion;
  config.embedder.projection = projection;
  config.embedder.hidden_size = projection == EmbedderProjection::kConcat ? 8 : 24;
  return config;
}

// A RoBERTa embedder; with CLS tokens if there are any.
ModelConfig WithRoberta(ModelConfig config, int64_t num_cls_tokens) {
  config.embedder.type = num_cls_tokens > 0 ? EmbedderType::kRobertaCls : EmbedderType::kRoberta;
  config.embedder.projection = EmbedderProjection::kConv1d;
  config.embedder.hidden_size = 16;
  config.embedder.encoder.num_layers = 2;
  config.embedder.encoder.num_heads = 2;
  config.embedder.encoder.intermediate_size = 20;
  config.embedder.encoder.max_positions = 30;
  config.embedder.encoder.num_cls_tokens = num_cls_tokens;
  return config;
}

// Summation, with a token decoder narrower than the block decoder, as in MEGABYTE.
ModelConfig WithSummation(ModelConfig config) {
  config.token_decoder_type = TokenDecoderType::kSummation;
  config.prefix_length = config.block_length;
  config.token_decoder.hidden_size = 18;
  return config;
}

// T5, with heads that are together wider than the model.
ModelConfig WithCrossAttention(ModelConfig config) {
  config.token_decoder_type = TokenDecoderType::kCrossAttention;
  config.prefix_length = config.block_length;
  config.begin_token_id = 1;
  config.t5.hidden_size = 16;
  config.t5.num_layers = 2;
  config.t5.num_heads = 3;
  config.t5.head_size = 6;
  config.t5.intermediate_size = 20;
  return config;
}

std::vector<ModelConfig> AllModels() {
  const ModelConfig block =
      SmallModel(ModelKind::kBlock, EmbedderProjection::kConcat, Expansion::kLayer);
  return {SmallModel(ModelKind::kVanilla, EmbedderProjection::kConcat, Expansion::kLayer),
          block,
          SmallModel(ModelKind::kBlock, EmbedderProjection::kSum, Expansion::kRepeat),
          SmallModel(ModelKind::kBlock, EmbedderProjection::kConv1d, Expansion::kLayer),
          SmallModel(ModelKind::kBlock, EmbedderProjection::kMean, Expansion::kLayer),
          WithRoberta(block, /*num_cls_tokens=*/0),
          WithSummation(WithRoberta(block, /*num_cls_tokens=*/2)),
          WithCrossAttention(block)};
}

// Larger weights than at the start of training, so that greedy choices are far from ties.
std::shared_ptr<LanguageModel> MakeTestModel(const ModelConfig& config, ComputeType compute) {
  auto model = MakeLanguageModel(config, compute, /*seed=*/3);
  torch::NoGradGuard no_gradients;
  for (auto& parameter : model->parameters()) {
    if (parameter.dim() >= 2) parameter.mul_(10);
  }
  return model;
}

class LanguageModelTest : public ::testing::TestWithParam<int> {
 protected:
  ModelConfig config_ = AllModels()[GetParam()];
};

INSTANTIATE_TEST_SUITE_P(Models, LanguageModelTest,
                         ::testing::Range(0, static_cast<int>(AllModels().size())));

TEST_P(LanguageModelTest, HasTheUsedParametersOfTheConfig) {
  std::map<std::string, std::vector<int64_t>> expected;
  std::map<std::string, std::vector<int64_t>> actual;
  for (const ParameterSpec& spec : ListParameters(config_)) {
    if (spec.is_used) expected[spec.name] = spec.shape;
  }
  for (const auto& parameter :
       MakeLanguageModel(config_, ComputeType::kFloat32, 1)->named_parameters()) {
    actual[parameter.key()] = parameter.value().sizes().vec();
  }
  EXPECT_EQ(actual, expected);
}

TEST_P(LanguageModelTest, DrawsInitialValuesAsSpecified) {
  config_.vocab_size = 4000;
  const auto parameters = MakeLanguageModel(config_, ComputeType::kFloat32, 1)->named_parameters();
  for (const ParameterSpec& spec : ListParameters(config_)) {
    if (!spec.is_used) continue;
    const torch::Tensor value = parameters[spec.name].detach().to(torch::kFloat64);
    if (spec.init_stddev == 0) {
      EXPECT_TRUE((value == spec.init_constant).all().item<bool>()) << spec.name;
      continue;
    }
    // Five standard errors.
    const double error = 5 / std::sqrt(static_cast<double>(value.numel()));
    EXPECT_NEAR(value.mean().item<double>() / spec.init_stddev, 0, error) << spec.name;
    EXPECT_NEAR(value.std().item<double>() / spec.init_stddev, 1, error) << spec.name;
  }
}

TEST_P(LanguageModelTest, EqualSeedsGiveEqualModels) {
  const auto first = MakeLanguageModel(config_, ComputeType::kFloat32, 1)->parameters();
  const auto second = MakeLanguageModel(config_, ComputeType::kFloat32, 1)->parameters();
  const auto other = MakeLanguageModel(config_, ComputeType::kFloat32, 2)->parameters();
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(torch::equal(first[i], second[i]));
    const bool is_drawn = first[i].dim() > 1;
    EXPECT_EQ(torch::equal(first[i], other[i]), !is_drawn);
  }
}

TEST_P(LanguageModelTest, BFloat16StaysNearFloat32) {
  torch::manual_seed(1);
  const torch::Tensor ids = torch::randint(1, 50, {2, 12}, torch::kInt64);
  const TokenBatch batch{ids, torch::ones_like(ids), ids};
  const TokenLoss f32 = MakeLanguageModel(config_, ComputeType::kFloat32, 1)->Loss(batch);
  const TokenLoss bf16 = MakeLanguageModel(config_, ComputeType::kBFloat16, 1)->Loss(batch);
  EXPECT_EQ(bf16.count.item<int64_t>(), f32.count.item<int64_t>());
  EXPECT_NEAR(bf16.sum.item<double>() / f32.sum.item<double>(), 1, 0.01);
}

TEST_P(LanguageModelTest, PaddingChangesNothing) {
  torch::manual_seed(1);
  const auto model = MakeTestModel(config_, ComputeType::kFloat32);
  const torch::Tensor ids = torch::randint(1, 50, {2, 9}, torch::kInt64);
  const torch::Tensor ones = torch::ones_like(ids);
  const torch::Tensor zeros = torch::zeros({2, 3}, torch::kInt64);
  const torch::Tensor ignored = torch::full({2, 3}, -100, torch::kInt64);
  const TokenLoss plain = model->Loss({ids, ones, ids});
  const TokenLoss padded = model->Loss(
      {torch::cat({ids, zeros}, 1), torch::cat({ones, zeros}, 1), torch::cat({ids, ignored}, 1)});
  EXPECT_EQ(padded.count.item<int64_t>(), plain.count.item<int64_t>());
  EXPECT_NEAR(padded.sum.item<double>(), plain.sum.item<double>(), 1e-3);
}

}  // namespace
}  // namespace blockformer::train
