// The engine against the trainer, in one process, over a small model of each kind: logits, losses,
// gradients and greedy texts. No file is needed; the published arithmetic is tested under
// tests/golden.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "engine/engine.h"
#include "engine/teacher_forcing.h"
#include "tests/cpu/tiny_model.h"
#include "tests/engine/engine_fixture.h"
#include "train/loop/text_sample.h"
#include "train/model/block_model.h"
#include "train/model/vanilla_model.h"

namespace blockformer {
namespace {

constexpr int64_t kBatch = 3;
constexpr int64_t kUnits = 5;
// For f32 sums of up to 40 products that are added in another order, through six layers: the
// weights are scaled up, so that logits reach some tens.
constexpr double kLogitTolerance = 2e-3;
constexpr double kLossTolerance = 1e-4;

class AgreementTest : public ::testing::TestWithParam<std::string> {
 protected:
  AgreementTest() : config_(TinyConfigs().at(GetParam())), engine_model_(MakeTinyModel(config_)) {
    trained_model_ = train::MakeLanguageModel(config_, train::ComputeType::kFloat32, /*seed=*/1);
    const ReadWeights read = TinyWeights(config_);
    torch::NoGradGuard no_gradients;
    for (const auto& parameter : trained_model_->named_parameters()) {
      const std::vector<float> values = read(parameter.key());
      parameter.value().copy_(torch::tensor(values).view(parameter.value().sizes()));
    }
  }

  int64_t Length() const { return engine_model_->unit_length(); }

  // Random ids; the first tokens of every sequence but one are padding.
  ForwardInput Input() const {
    ForwardInput input;
    input.batch = kBatch;
    input.units = kUnits;
    Random random(7);
    for (int64_t i = 0; i < kBatch; ++i) {
      for (int64_t j = 0; j < kUnits * Length(); ++j) {
        const bool is_token = j >= i;
        input.mask.push_back(is_token ? 1 : 0);
        input.ids.push_back(is_token ? static_cast<int32_t>(random.Below(config_.vocab_size))
                                     : static_cast<int32_t>(config_.PromptPadId()));
      }
      for (int64_t unit = 0; unit < kUnits; ++unit) {
        input.unit_mask.push_back((unit + 1) * Length() > i ? 1 : 0);
      }
    }
    return input;
  }

  torch::Tensor TrainerLogits(const ForwardInput& input) const;
  // The likeliest token behind these, by a pass of the trainer's model over all of them. The first
  // `prompt` of them are padded on the left to whole units.
  int32_t Likeliest(std::vector<int32_t> tokens, int64_t prompt) const;

  static std::vector<int32_t> Labels(const ForwardInput& input) {
    std::vector<int32_t> labels = input.ids;
    for (size_t i = 0; i < labels.size(); ++i) {
      if (input.mask[i] == 0) labels[i] = -100;
    }
    return labels;
  }

  ModelConfig config_;
  std::shared_ptr<const Model> engine_model_;
  std::shared_ptr<train::LanguageModel> trained_model_;
};

INSTANTIATE_TEST_SUITE_P(, AgreementTest, ::testing::ValuesIn(TinyNames()),
                         [](const auto& test) { return test.param; });

torch::Tensor IdsOf(const std::vector<int32_t>& values, torch::IntArrayRef shape) {
  return torch::tensor(values, torch::kInt64).view(shape);
}

torch::Tensor MaskOf(const ForwardInput& input, torch::IntArrayRef shape) {
  const std::vector<int32_t> values(input.mask.begin(), input.mask.end());
  return IdsOf(values, shape).to(torch::kBool);
}

// As ForwardOutput::logits, but with zeros where nothing is predicted.
torch::Tensor AgreementTest::TrainerLogits(const ForwardInput& input) const {
  torch::NoGradGuard no_gradients;
  const int64_t batch = input.batch;
  const int64_t units = input.units;
  if (const auto* vanilla = dynamic_cast<train::VanillaModel*>(trained_model_.get())) {
    train::StackContext context;
    context.positions = torch::arange(units);
    context.mask = MaskOf(input, {batch, units});
    return vanilla->Logits(vanilla->Forward(IdsOf(input.ids, {batch, units}), context));
  }
  const auto& block = dynamic_cast<const train::BlockModel&>(*trained_model_);
  return block.Logits(IdsOf(input.ids, {batch, units, Length()}),
                      MaskOf(input, {batch, units, Length()}), /*keep_empty_blocks=*/false);
}

TEST_P(AgreementTest, Logits) {
  const ForwardInput input = Input();
  const ForwardOutput output = Forward(*engine_model_, input);
  const torch::Tensor expected = TrainerLogits(input);
  const torch::Tensor actual = torch::tensor(output.logits).view(expected.sizes());
  // The trainer leaves zeros where nothing is predicted.
  const torch::Tensor predicted = expected.abs().amax(-1, /*keepdim=*/true) > 0;
  EXPECT_GT(predicted.sum().item<int64_t>(), kBatch);
  const torch::Tensor difference = (actual - expected).abs() * predicted;
  EXPECT_LE(difference.max().item<double>(), kLogitTolerance);
}

TEST_P(AgreementTest, Losses) {
  const ForwardInput input = Input();
  const std::vector<int32_t> labels = Labels(input);
  const LossSums actual =
      ComputeLoss(*engine_model_, input, labels, Forward(*engine_model_, input));
  const std::vector<int64_t> shape = {kBatch, kUnits * Length()};
  const train::TokenLoss expected = trained_model_->Loss(
      {IdsOf(input.ids, shape), MaskOf(input, shape).to(torch::kInt64), IdsOf(labels, shape)});
  EXPECT_EQ(actual.count, expected.count.item<int64_t>());
  EXPECT_NEAR(actual.Mean(), expected.sum.item<double>() / expected.count.item<double>(),
              kLossTolerance);
}

// The trainer's gradient of each parameter against the engine's losses a step before and behind,
// along that gradient: they differ by the step's length times the gradient's.
TEST_P(AgreementTest, Gradients) {
  constexpr double kChange = 0.02;     // of the loss of some 40 tokens, to either side
  constexpr double kTolerance = 0.02;  // of it: third derivatives, and sums of f32
  const ForwardInput input = Input();
  const std::vector<int32_t> labels = Labels(input);
  const std::vector<int64_t> shape = {kBatch, kUnits * Length()};
  trained_model_
      ->Loss(
          {IdsOf(input.ids, shape), MaskOf(input, shape).to(torch::kInt64), IdsOf(labels, shape)})
      .sum.backward();
  const ReadWeights read = TinyWeights(config_);
  int64_t compared = 0;
  for (const auto& parameter : trained_model_->named_parameters()) {
    const torch::Tensor& gradient = parameter.value().grad();
    if (!gradient.defined()) continue;
    const double norm = gradient.norm().item<double>();
    if (norm < 0.5) continue;  // the step would be too long: keys' biases change nothing
    const auto loss_at = [&](double step) {
      const torch::Tensor moved =
          (parameter.value() + gradient * (step / norm)).detach().flatten().contiguous();
      ReadWeights changed = read;
      changed.floats = [&](const std::string& name) {
        if (name != parameter.key()) return read(name);
        const float* values = moved.data_ptr<float>();
        return std::vector<float>(values, values + moved.numel());
      };
      const CpuModel model(config_, changed);
      return ComputeLoss(model, input, labels, Forward(model, input)).sum;
    };
    const double step = kChange / norm;
    EXPECT_NEAR((loss_at(step) - loss_at(-step)) / (2 * kChange), 1, kTolerance) << parameter.key();
    ++compared;
  }
  EXPECT_GT(compared, 10);
}

int32_t AgreementTest::Likeliest(std::vector<int32_t> tokens, int64_t prompt) const {
  const NextTokenPass pass(*engine_model_, std::move(tokens), prompt);
  const torch::Tensor logits = TrainerLogits(pass.input).view({-1, config_.vocab_size});
  return static_cast<int32_t>(logits[pass.row].argmax().item<int64_t>());
}

TEST_P(AgreementTest, GreedyTexts) {
  constexpr int64_t kTokens = 20;
  const std::vector<std::vector<int32_t>> prompts = {{5, 9, 1}, {7}, {3, 1, 4, 1, 5, 9, 2}};
  std::vector<GenerationRequest> requests;
  for (const std::vector<int32_t>& prompt : prompts) {
    GenerationRequest request;
    request.prompt = prompt;
    request.max_tokens = kTokens;
    request.stop_at_eos = false;
    requests.push_back(std::move(request));
  }
  // The trainer's samples come from an engine with its own weights.
  Engine engine(train::EngineModel(*trained_model_), {});
  const auto texts = GenerateAll(&engine, std::move(requests));
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::vector<int32_t> tokens = prompts[i];
    for (const int32_t token : texts[i]) {
      ASSERT_EQ(token, Likeliest(tokens, std::ssize(prompts[i]))) << "behind " << tokens.size();
      tokens.push_back(token);
    }
  }
}

}  // namespace
}  // namespace blockformer
