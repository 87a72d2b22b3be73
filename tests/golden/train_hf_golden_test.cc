// The trainer against transformers: logits, hidden states, losses, gradients and greedy texts of
// models of Llama's and Qwen's families.
#include <gtest/gtest.h>

#include "checkpoint/model_directory.h"
#include "tests/golden/hf_golden.h"
#include "tests/golden/train_golden_model.h"
#include "train/model/weights.h"

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

// Each new token is the likeliest behind those before it.
TEST_P(TrainHfGolden, GreedyTexts) {
  torch::NoGradGuard no_gradients;
  const std::string prefix = IsBlock() ? "io.gen_b." : "io.gen_a.";
  const int64_t prompt = golden_.Shape(prefix + "prompt")[1];
  const torch::Tensor texts = Ids(prefix + "output");
  const torch::Tensor expected = texts.slice(1, prompt);
  torch::Tensor logits;
  if (IsBlock()) {
    // The first block is filled up on the left, and the last one, which no token of the text sees
    // the end of, on the right.
    const int64_t length = model_->config().block_length;
    const int64_t padding = (length - prompt % length) % length;
    const int64_t missing = (length - (padding + texts.size(1)) % length) % length;
    const auto in_blocks = [&](const torch::Tensor& tokens) {
      return torch::constant_pad_nd(tokens, {padding, missing}).unflatten(1, {-1, length});
    };
    const torch::Tensor mask = in_blocks(torch::ones_like(texts)).to(torch::kBool);
    logits = dynamic_cast<const BlockModel&>(*model_)
                 .Logits(in_blocks(texts), mask, /*keep_empty_blocks=*/false)
                 .flatten(1, 2);  // of all blocks but the first
    logits = logits.slice(1, prompt + padding - length, logits.size(1) - missing);
  } else {
    logits = VanillaLogits(dynamic_cast<const VanillaModel&>(*model_), texts, {}, {})
                 .slice(1, prompt - 1, texts.size(1) - 1);
  }
  EXPECT_TRUE(torch::equal(logits.argmax(-1), expected));
}

INSTANTIATE_TEST_SUITE_P(Folders, TrainHfGolden, ::testing::ValuesIn(HfGoldenNames()),
                         [](const auto& test) { return GoldenTestName(test.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TrainHfGolden);

}  // namespace
}  // namespace blockformer::train
