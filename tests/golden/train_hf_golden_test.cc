// The trainer against transformers: logits, hidden states, losses, gradients and greedy texts of
// models of Llama's and Qwen's families.
#include <gtest/gtest.h>

#include "checkpoint/model_directory.h"
#include "tests/golden/hf_golden.h"
#include "tests/golden/train_golden_model.h"
#include "train/generate.h"
#include "train/weights.h"

namespace blockformer::train {
namespace {

constexpr double kHfTolerance = 1e-4;
constexpr double kHfLossTolerance = 1e-5;
constexpr double kHfGradientTolerance = 1e-4;  // of the tensor's largest entry

class TrainHfGolden : public ::testing::TestWithParam<std::string> {
 protected:
  TrainHfGolden() : golden_(GetParam()) {
    const ModelConfig config = ReadModelConfig(golden_.directory());
    model_ = MakeLanguageModel(config, ComputeType::kFloat32, /*seed=*/1);
    LoadWeights(golden_.directory(), *model_);
  }

  bool IsBlock() const { return model_->config().kind == ModelKind::kBlock; }
  torch::Tensor Floats(const std::string& name) const {
    return torch::tensor(golden_.Floats(name)).view(golden_.Shape(name));
  }
  torch::Tensor Ids(const std::string& name) const {
    return torch::tensor(golden_.Integers(name), torch::kInt64).view(golden_.Shape(name));
  }
  torch::Tensor Mask(const std::string& prefix) const {
    return golden_.Has(prefix + "attention_mask") ? Ids(prefix + "attention_mask")
                                                  : torch::ones_like(Ids(prefix + "input_ids"));
  }
  TokenBatch Batch(const std::string& prefix) const {
    const torch::Tensor ids = Ids(prefix + "input_ids").flatten(1);
    const torch::Tensor mask = Mask(prefix).flatten(1);
    return {ids, mask, ids.masked_fill(mask == 0, kIgnoredLabel)};
  }

  void CheckForward(const std::string& prefix) const {
    torch::NoGradGuard no_gradients;
    const torch::Tensor ids = Ids(prefix + "input_ids");
    const torch::Tensor mask = Mask(prefix).to(torch::kBool);
    if (IsBlock()) {
      const auto& block = dynamic_cast<const BlockModel&>(*model_);
      if (golden_.Has(prefix + "block_embeds")) {
        const torch::Tensor embeds = block.EmbedBlocks(ids, mask);
        EXPECT_LE(MaxDifference(embeds, Floats(prefix + "block_embeds")), kHfTolerance);
        EXPECT_LE(MaxDifference(block.DecodeBlocks(embeds, mask), Floats(prefix + "block_hidden")),
                  kHfTolerance);
      }
      EXPECT_LE(MaxDifference(block.Logits(ids, mask, /*keep_empty_blocks=*/false),
                              Floats(prefix + "logits")),
                kHfTolerance);
    } else {
      EXPECT_LE(
          MaxDifference(VanillaLogits(dynamic_cast<const VanillaModel&>(*model_), ids, {}, {}),
                        Floats(prefix + "logits")),
          kHfTolerance);
    }
    const TokenLoss loss = model_->Loss(Batch(prefix));
    EXPECT_NEAR((loss.sum / loss.count).item<double>(), Floats(prefix + "loss").item<double>(),
                kHfLossTolerance);
  }

  HfGolden golden_;
  std::shared_ptr<LanguageModel> model_;
};

TEST_P(TrainHfGolden, LogitsAndLosses) {
  CheckForward("io.full.");
  if (golden_.Has("io.pad.logits")) CheckForward("io.pad.");
}

TEST_P(TrainHfGolden, Gradients) {
  const TokenLoss loss = model_->Loss(Batch("io.full."));
  (loss.sum / loss.count).backward();
  for (const auto& parameter : model_->named_parameters()) {
    const torch::Tensor expected = Floats("g." + parameter.key());
    EXPECT_LE(MaxDifference(parameter.value().grad(), expected),
              kHfGradientTolerance * expected.abs().max().item<double>())
        << parameter.key();
  }
}

TEST_P(TrainHfGolden, GreedyTexts) {
  const std::string prefix = golden_.Has("io.gen_a.prompt") ? "io.gen_a." : "io.gen_b.";
  const std::vector<std::vector<int32_t>> prompts = golden_.Rows(prefix + "prompt");
  const std::vector<std::vector<int32_t>> expected = golden_.Rows(prefix + "output");
  GenerateOptions options;
  options.max_tokens = std::ssize(expected[0]) - std::ssize(prompts[0]);
  std::vector<std::vector<int32_t>> texts = GenerateTokens(*model_, prompts, options);
  for (size_t i = 0; i < texts.size(); ++i) {
    texts[i].insert(texts[i].begin(), prompts[i].begin(), prompts[i].end());
  }
  EXPECT_EQ(texts, expected);
}

INSTANTIATE_TEST_SUITE_P(Folders, TrainHfGolden, ::testing::ValuesIn(HfGoldenNames()),
                         [](const auto& test) { return GoldenTestName(test.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TrainHfGolden);

}  // namespace
}  // namespace blockformer::train
