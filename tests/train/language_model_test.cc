#include "train/language_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "config/parameters.h"
#include "train/block_model.h"
#include "train/generate.h"

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
  ModelConfig config_ = AllModels()[static_cast<size_t>(GetParam())];
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

TEST_P(LanguageModelTest, CachedGenerationEqualsRecomputation) {
  const auto model = MakeTestModel(config_, ComputeType::kFloat32);
  std::vector<int32_t> sequence = {5, 17, 31};
  GenerateOptions options;
  options.max_tokens = 9;
  const auto whole = GenerateTokens(*model, {sequence}, options).front();
  // A block at a time, each from an empty cache.
  options.max_tokens = config_.block_length;
  std::vector<int32_t> pieces;
  while (pieces.size() < whole.size()) {
    const auto piece = GenerateTokens(*model, {sequence}, options).front();
    pieces.insert(pieces.end(), piece.begin(), piece.end());
    sequence.insert(sequence.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(pieces, whole);
}

TEST_P(LanguageModelTest, AnyOfSeveralIdsEndsAText) {
  const auto model = MakeTestModel(config_, ComputeType::kFloat32);
  GenerateOptions options;
  options.max_tokens = 24;
  options.sampling.temperature = 5;
  const auto endless = GenerateTokens(*model, {{5}, {6}}, options);
  options.eos_ids = {endless[0][9], endless[1][4]};
  for (const bool first : {true, false}) {
    const auto& row = endless[first ? 0 : 1];
    const auto end =
        std::find_first_of(row.begin(), row.end(), options.eos_ids.begin(), options.eos_ids.end());
    EXPECT_EQ(GenerateTokens(*model, {{5}, {6}}, options)[first ? 0 : 1],
              std::vector<int32_t>(row.begin(), end));
  }
}

TEST_P(LanguageModelTest, ExcludedIdsAreNeverDrawn) {
  const auto model = MakeTestModel(config_, ComputeType::kFloat32);
  GenerateOptions options;
  options.max_tokens = 40;
  options.num_choices = 8;
  options.excluded_ids = {0, 3, 4, 6};
  for (const double temperature : {0.0, 50.0}) {
    options.sampling.temperature = temperature;
    const auto rows = GenerateTokens(*model, {{5}}, options);
    for (const int32_t id : rows.front()) {
      EXPECT_THAT(id, testing::AnyOf(1, 2, 5, 7));
    }
  }
  options.excluded_ids = {8};
  EXPECT_THROW(GenerateTokens(*model, {{5}}, options), Error);
}

TEST_P(LanguageModelTest, BatchMatesDoNotChangeASequence) {
  const auto model = MakeTestModel(config_, ComputeType::kFloat32);
  const std::vector<std::vector<int32_t>> prompts = {
      {5}, {7, 8, 9, 10, 11, 12, 13, 14}, {1, 2, 3}, {20, 21}};
  for (const double temperature : {0.0, 0.8}) {
    GenerateOptions options;
    options.max_tokens = 10;
    options.sampling.temperature = temperature;
    options.sampling.top_p = 0.9;
    const auto together = GenerateTokens(*model, prompts, options);
    for (size_t i = 0; i < prompts.size(); ++i) {
      options.streams = {i};
      EXPECT_EQ(GenerateTokens(*model, {prompts[i]}, options).front(), together[i]);
    }
  }
}

// Blocks of padding ids keep their positions.
TEST(PublishedGenerationTest, TakesTheEncodersPaddingIdForPadding) {
  const ModelConfig config =
      WithRoberta(SmallModel(ModelKind::kBlock, EmbedderProjection::kConcat, Expansion::kLayer), 0);
  const auto model = MakeTestModel(config, ComputeType::kFloat32);
  const auto& block_model = dynamic_cast<const BlockModel&>(*model);
  const std::vector<int32_t> prompt = {5, 6, 7, 1, 1, 1, 8, 1, 10};
  GenerateOptions options;
  options.max_tokens = 1;
  options.published = true;
  const auto generated = GenerateTokens(*model, {prompt}, options);

  torch::NoGradGuard no_gradients;
  const torch::Tensor ids = torch::tensor(prompt, torch::kInt64).view({1, 3, 3});
  const auto predicted = [&](const torch::Tensor& mask) {
    const torch::Tensor contexts =
        block_model.DecodeBlocks(block_model.EmbedBlocks(ids, mask), mask);
    const TokenDecoder& decoder = block_model.token_decoder();
    const auto block = decoder.Begin(contexts.select(1, -1), /*published_positions=*/true);
    return decoder.Logits(block->Next({})).argmax().item<int32_t>();
  };
  EXPECT_THAT(generated, testing::ElementsAre(testing::ElementsAre(predicted(ids != 1))));
  EXPECT_NE(predicted(ids != 1), predicted(torch::ones_like(ids, torch::kBool)));
}

}  // namespace
}  // namespace blockformer::train
