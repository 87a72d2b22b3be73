// The trainer against the published implementation: logits, hidden states, losses, gradients and
// training steps of the golden files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/golden/golden_file.h"
#include "tests/golden/train_golden_model.h"
#include "train/loop/optimizer.h"

namespace blockformer::train {
namespace {

constexpr double kHiddenTolerance = 1e-4;
constexpr double kLossTolerance = 1e-5;
constexpr double kGradientTolerance = 1e-4;  // of the tensor's largest entry

torch::Tensor KeyBiasesWithoutRotation(const StackConfig& config) {
  torch::Tensor selected = torch::zeros({config.num_heads, 3, config.HeadSize()}, torch::kBool);
  selected.select(1, 1).slice(1, config.RotarySize()).fill_(true);
  return selected.flatten();
}

class GoldenTrain : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    file_ = std::make_unique<GoldenFile>(GetParam());
    if (!file_->missing_component().empty()) {
      GTEST_SKIP() << GetParam()
                   << " needs a component that is not built: " << file_->missing_component();
    }
    model_ = MakeGoldenModel(*file_, "w.");
  }

  torch::Tensor Tensor(const std::string& name) const { return GoldenTensor(*file_, name); }
  // The tensor with the flash-attention semantics, where the file has one.
  torch::Tensor FlashTensor(const std::string& name) const {
    return Tensor(file_->Has(name + "_flash") ? name + "_flash" : name);
  }
  bool IsBlock() const { return file_->config().kind == ModelKind::kBlock; }
  BlockModel& Block() const { return dynamic_cast<BlockModel&>(*model_); }
  VanillaModel& Vanilla() const { return dynamic_cast<VanillaModel&>(*model_); }

  // Plain attention, unless the file has tensors with the flash-attention semantics.
  void FollowFile(const std::string& logits) const {
    const bool flash = file_->Has(logits + "_flash");
    model_->set_padding_queries(flash ? PaddingQueries::kZero : PaddingQueries::kAttend);
  }

  void CheckBlockForward(const std::string& prefix) const;
  void CheckLoss(const std::string& prefix) const;

  std::unique_ptr<GoldenFile> file_;
  std::shared_ptr<LanguageModel> model_;
};

// Tests whose files hold what they check.
class GoldenForward : public GoldenTrain {};
class GoldenAuxiliaryLosses : public GoldenTrain {};
class GoldenPadding : public GoldenTrain {};
class GoldenBatch : public GoldenTrain {};
class GoldenGradients : public GoldenTrain {};
class GoldenTrainingSteps : public GoldenTrain {};

#define INSTANTIATE_GOLDEN(suite, ...)                                               \
  GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(suite);                              \
  INSTANTIATE_TEST_SUITE_P(, suite, ::testing::ValuesIn(GoldenNames({__VA_ARGS__})), \
                           [](const auto& test) { return GoldenTestName(test.param); })
INSTANTIATE_GOLDEN(GoldenForward, "io.full.");
INSTANTIATE_GOLDEN(GoldenAuxiliaryLosses, "io.full.block_decoding_loss_");
INSTANTIATE_GOLDEN(GoldenPadding, "io.pad.");
INSTANTIATE_GOLDEN(GoldenBatch, "io.train.");
INSTANTIATE_GOLDEN(GoldenGradients, "g.");
INSTANTIATE_GOLDEN(GoldenTrainingSteps, "w_after.");

void GoldenTrain::CheckBlockForward(const std::string& prefix) const {
  FollowFile(prefix + "logits");
  const torch::Tensor ids = Tensor(prefix + "input_ids");
  const torch::Tensor mask = GoldenBatchOf(*file_, prefix).mask.to(torch::kBool).view(ids.sizes());
  const torch::Tensor embeddings = Block().EmbedBlocks(ids, mask);
  if (file_->Has(prefix + "block_embeds")) {
    EXPECT_LE(MaxDifference(embeddings, Tensor(prefix + "block_embeds")), kHiddenTolerance);
  }
  if (file_->Has(prefix + "block_hidden")) {
    EXPECT_LE(
        MaxDifference(Block().DecodeBlocks(embeddings, mask), FlashTensor(prefix + "block_hidden")),
        kHiddenTolerance);
  }
  if (!file_->Has(prefix + "logits")) return;
  // Blocks that are not predicted hold the end-of-text id there.
  const torch::Tensor logits = Block().Logits(ids, mask, /*keep_empty_blocks=*/false);
  const torch::Tensor skipped = ~mask.slice(1, 1).any(-1, /*keepdim=*/true).unsqueeze(-1);
  EXPECT_LE(MaxDifference(logits, FlashTensor(prefix + "logits").masked_fill(skipped, 0)),
            kHiddenTolerance);
}

void GoldenTrain::CheckLoss(const std::string& prefix) const {
  if (!file_->Has(prefix + "loss")) return;
  FollowFile(prefix + "logits");
  const TokenLoss loss = model_->Loss(GoldenBatchOf(*file_, prefix));
  const torch::Tensor mean = loss.sum / loss.count;
  EXPECT_NEAR(mean.item<double>(), FlashTensor(prefix + "loss").item<double>(), kLossTolerance);
  // Only of the eager attention are there losses by position.
  if (!file_->Has(prefix + "loss_by_position") || file_->Has(prefix + "loss_flash")) return;
  const torch::Tensor counted = loss.count_by_position > 0;
  EXPECT_LE(MaxDifference((loss.sum_by_position / loss.count_by_position).index({counted}),
                          Tensor(prefix + "loss_by_position").index({counted})),
            kLossTolerance);
}

TEST(GoldenDirectoryTest, HoldsFiles) {
  if (GoldenNames({""}).empty()) {
    GTEST_SKIP() << "there are no golden files in " << GoldenDirectory()
                 << "; set BLOCKFORMER_GOLDEN_DIR";
  }
}

TEST_P(GoldenForward, MatchesLogitsHiddenStatesAndLoss) {
  torch::NoGradGuard no_gradients;
  if (IsBlock()) {
    CheckBlockForward("io.full.");
    CheckLoss("io.full.");
    return;
  }
  const torch::Tensor ids = Tensor("io.full.input_ids");
  EXPECT_LE(MaxDifference(VanillaLogits(Vanilla(), ids, {}, {}), Tensor("io.full.logits")),
            kHiddenTolerance);
  CheckLoss("io.full.");
}

TEST_P(GoldenAuxiliaryLosses, Match) {
  const TokenBatch batch = GoldenBatchOf(*file_, "io.full.");
  model_->train();
  AuxiliaryLosses wanted;
  wanted.auto_encoding_weight = 1;
  for (const auto& [type, name] :
       {std::pair{BlockDecodingLoss::kMse, "io.full.block_decoding_loss_mse"},
        std::pair{BlockDecodingLoss::kContrastive, "io.full.block_decoding_loss_contrastive"}}) {
    wanted.block_decoding = type;
    model_->set_auxiliary_losses(wanted);
    const TokenLoss loss = model_->Loss(batch);
    if (file_->Has(name)) {
      EXPECT_NEAR(loss.block_decoding.item<double>(), Tensor(name).item<double>(), kLossTolerance);
    }
    if (file_->Has("io.full.auto_encoding_loss")) {
      EXPECT_NEAR(loss.auto_encoding.item<double>(),
                  Tensor("io.full.auto_encoding_loss").item<double>(), kLossTolerance);
    }
  }
}

TEST_P(GoldenPadding, MatchesLogitsHiddenStatesAndLoss) {
  torch::NoGradGuard no_gradients;
  if (IsBlock()) {
    CheckBlockForward("io.pad.");
    CheckLoss("io.pad.");
    return;
  }
  const torch::Tensor ids = Tensor("io.pad.input_ids");
  const torch::Tensor mask = Tensor("io.pad.attention_mask").to(torch::kBool);
  EXPECT_LE(MaxDifference(VanillaLogits(Vanilla(), ids, mask, {}).index({mask}),
                          Tensor("io.pad.logits").index({mask})),
            kHiddenTolerance);
  if (file_->HasPrefix("io.padpos.")) {
    const torch::Tensor positions = Tensor("io.padpos.position_ids");
    EXPECT_LE(MaxDifference(VanillaLogits(Vanilla(), ids, mask, positions).index({mask}),
                            Tensor("io.padpos.logits").index({mask})),
              kHiddenTolerance);
  }
  // Only plain attention gives the same on padding, and thereby the same loss.
  FollowFile("io.pad.logits");
  CheckLoss("io.pad.");
  EXPECT_LE(MaxDifference(VanillaLogits(Vanilla(), ids, mask, {}), Tensor("io.pad.logits")),
            kHiddenTolerance);
}

TEST_P(GoldenBatch, MatchesLogitsHiddenStatesAndLoss) {
  torch::NoGradGuard no_gradients;
  if (IsBlock()) CheckBlockForward("io.train.");
  CheckLoss("io.train.");
}

// The parameter whose gradient says how exact that of `name` is. The softmax does not see the
// biases of an encoder's keys, whose gradient is noise around 0: it is small beside that of the
// queries'.
std::string GradientScaleOf(const std::string& name) {
  constexpr std::string_view kKeyBias = "self.key.bias";
  return name.ends_with(kKeyBias)
             ? name.substr(0, name.size() - kKeyBias.size()) + "self.query.bias"
             : name;
}

TEST_P(GoldenGradients, MatchEveryParameter) {
  model_->set_padding_queries(PaddingQueries::kAttend);
  const TokenLoss loss = model_->Loss(GoldenBatchOf(*file_, IsBlock() ? "io.train." : "io.pad."));
  (loss.sum / loss.count).backward();
  for (const auto& parameter : model_->named_parameters()) {
    const torch::Tensor gradient = parameter.value().grad();
    ASSERT_TRUE(gradient.defined()) << parameter.key();
    if (!file_->Has("g." + parameter.key())) {  // the published loss does not depend on it
      EXPECT_EQ(gradient.abs().max().item<double>(), 0) << parameter.key();
      continue;
    }
    const torch::Tensor expected = Tensor("g." + parameter.key());
    const torch::Tensor scale = Tensor("g." + GradientScaleOf(parameter.key()));
    EXPECT_LE(MaxDifference(gradient, expected),
              kGradientTolerance * scale.abs().max().item<double>())
        << parameter.key();
  }
}

TEST_P(GoldenTrainingSteps, MatchLossesNormsAndWeights) {
  constexpr double kMaxNorm = 1.0;
  const std::vector<float> rates = file_->Floats("io.lrs");
  const std::vector<float> losses = file_->Floats("io.losses");
  const std::vector<float> norms = file_->Floats("io.grad_norms");
  AdamW optimizer(*model_, {});
  for (size_t step = 0; step < rates.size(); ++step) {
    const TokenLoss loss = model_->Loss(GoldenBatchOf(*file_, fmt::format("io.step{}.", step)));
    const torch::Tensor mean = loss.sum / loss.count;
    optimizer.ZeroGradients();
    mean.backward();
    const double norm = optimizer.GradientNorm();
    EXPECT_NEAR(mean.item<double>(), losses[step], kLossTolerance);
    EXPECT_NEAR(norm, norms[step], kLossTolerance * norms[step]);
    optimizer.Step(rates[step], ClipScale(norm, kMaxNorm));
  }
  for (const auto& parameter : model_->named_parameters()) {
    const torch::Tensor expected = Tensor("w_after." + parameter.key());
    torch::Tensor difference = (parameter.value().detach() - expected).abs();
    if (parameter.key().ends_with("query_key_value.bias")) {
      // The softmax does not see these: their gradient is noise around 0, which Adam normalises.
      const bool token = parameter.key().starts_with("token_decoder.");
      const StackConfig& config = token ? file_->config().token_decoder : file_->config().decoder;
      difference = difference.masked_fill(KeyBiasesWithoutRotation(config), 0.0);
    }
    EXPECT_LE(difference.max().item<double>(), kLossTolerance) << parameter.key();
  }
}

}  // namespace
}  // namespace blockformer::train
