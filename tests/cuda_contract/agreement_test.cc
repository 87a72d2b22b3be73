// The emulated CUDA runner against the processor's: logits, scores, texts.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/scorer.h"
#include "engine/teacher_forcing.h"
#include "tests/cuda_contract/models.h"

namespace blockformer {
namespace {

ForwardInput PaddedInput(const Model& model) {
  ForwardInput input;
  input.batch = 2;
  input.units = 19;
  const int64_t length = model.unit_length();
  const int64_t tokens = input.units * length;
  input.ids = RandomPrompt(input.batch * tokens, 1);
  input.mask.assign(input.ids.size(), 1);
  input.unit_mask.assign(input.batch * input.units, 1);
  // The second sequence begins with a unit of padding and a token more.
  std::fill_n(input.mask.begin() + tokens, length + (length > 1 ? 1 : 0), 0);
  input.unit_mask[input.units] = 0;
  return input;
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
    largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
  }
  return largest;
}

// ||a - b|| / ||b||.
double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    norm += std::pow(b[i], 2);
  }
  return std::sqrt(difference / norm);
}

class AgreementTest : public testing::TestWithParam<std::string> {
 protected:
  ModelConfig Config() const { return ContractConfigs().at(GetParam()); }
};

TEST_P(AgreementTest, ForwardPassesAgree) {
  const auto cpu = MakeOn("cpu", Config());
  ForwardInput input = PaddedInput(*cpu);
  for (const auto order : {cuda::emulation::Order::kForward, cuda::emulation::Order::kBackward}) {
    cuda::emulation::SetOrder(order);
    const auto gpu = MakeOn("cuda", Config());
    input.masked_units_attend = order == cuda::emulation::Order::kBackward;
    const ForwardOutput expected = Forward(*cpu, input);
    const ForwardOutput actual = Forward(*gpu, input);
    EXPECT_LE(LargestDifference(actual.embeds, expected.embeds), 1e-5);
    EXPECT_LE(LargestDifference(actual.hidden, expected.hidden), 1e-4);
    // The tests' weights are scaled up, which makes logits of up to 30.
    EXPECT_LE(LargestDifference(actual.logits, expected.logits), 1e-4 * 10);
    EXPECT_LE(RelativeDifference(actual.logits, expected.logits), 1e-5);
  }
  cuda::emulation::SetOrder(cuda::emulation::Order::kForward);
}

// Rotary positions are a sequence's own, as a left-padded vanilla batch has them.
TEST_P(AgreementTest, ForwardPassesAgreeAtOtherPositions) {
  const auto cpu = MakeOn("cpu", Config());
  ForwardInput input = PaddedInput(*cpu);
  for (int64_t i = 0; i < input.batch * input.units; ++i) {
    input.positions.push_back(static_cast<int32_t>(i % input.units * 3 + i / input.units));
  }
  EXPECT_LE(RelativeDifference(Forward(*MakeOn("cuda", Config()), input).logits,
                               Forward(*cpu, input).logits),
            1e-5);
}

TEST_P(AgreementTest, ForwardPassesInBf16AreClose) {
  // Weights of the initial size: scaled up, roundings of bf16 grow through the layers.
  const ReadWeights weights = RandomWeights(Config(), 3, NumberType::kBf16);
  const ReadWeights exact = RandomWeights(Config(), 3);
  const CpuModel cpu(Config(), exact);
  const cuda::CudaModel gpu(Config(), weights, 0, SmallPieces());
  const ForwardInput input = PaddedInput(cpu);
  EXPECT_LE(RelativeDifference(Forward(gpu, input).logits, Forward(cpu, input).logits), 1e-2);
}

TEST_P(AgreementTest, ScoresAgree) {
  std::vector<ScoreRequest> requests;
  for (int64_t i = 0; i < 9; ++i) {
    ScoreRequest request;
    request.tokens = RandomPrompt(i % 3 * 29, 5);
    const std::vector<int32_t> own = RandomPrompt(2 + i, static_cast<uint64_t>(i));
    request.tokens.insert(request.tokens.end(), own.begin(), own.end());
    request.scored = i % 4 == 3 ? std::ssize(request.tokens) - 1 : 1 + i / 2;
    requests.push_back(request);
    requests.push_back(request);  // all but the last token's page in common
    requests.back().tokens.back() = 7;
  }
  for (const ScoringPadding padding : {ScoringPadding::kPadded, ScoringPadding::kUnpadded}) {
    Scorer cpu(MakeOn("cpu", Config()), {0, 4096, padding});
    Scorer gpu(MakeOn("cuda", Config()), {0, 64, padding});
    const auto expected = ScoreAll(&cpu, requests);
    const auto actual = ScoreAll(&gpu, requests);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(actual[i].size(), expected[i].size()) << i;
      for (size_t j = 0; j < expected[i].size(); ++j) {
        EXPECT_NEAR(actual[i][j].log_likelihood, expected[i][j].log_likelihood,
                    1e-4 * (1 - expected[i][j].log_likelihood))
            << i;
        EXPECT_EQ(actual[i][j].is_largest, expected[i][j].is_largest) << i;
      }
    }
  }
}

// Every way to draw gives the same tokens for the same seed.
TEST_P(AgreementTest, TextsAreTheSame) {
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < 16; ++i) {
    GenerationRequest request =
        Request(RandomPrompt(1 + 5 * i % 41, static_cast<uint64_t>(i)), 7 + i);
    SamplingOptions& sampling = request.sampling;
    sampling.temperature = i % 8 == 0 ? 0 : 0.9;
    sampling.seed = 5;
    if (i % 8 == 2) sampling.top_k = 5;
    if (i % 8 == 3) sampling.top_p = 0.8;
    if (i % 8 == 4) sampling.min_p = 0.05;
    if (i % 8 == 5) {
      sampling.repetition_penalty = 1.3;
      sampling.frequency_penalty = 0.5;
      sampling.presence_penalty = -0.25;
      sampling.logit_bias = {{4, 3.5}, {9, -100}};
      request.excluded_ids = {1, 2, 3};
    }
    if (i % 8 == 6) {
      sampling.top_k = 20;
      sampling.top_p = 0.9;
      sampling.min_p = 0.01;
      sampling.repetition_penalty = 0.8;
    }
    if (i % 8 == 7) request.left_padding = i % MakeOn("cpu", Config())->unit_length();
    request.stream = static_cast<uint64_t>(i);
    requests.push_back(request);
  }
  EngineOptions options;
  options.max_sequences = 5;
  options.max_prefill_tokens = 7;  // prompts are read in several chunks
  options.num_sampled_ids = 59;
  options.excluded_ids = {0};
  std::vector<std::vector<std::vector<int32_t>>> texts;
  for (const std::string& device : ContractDevices()) {
    Engine engine(MakeOn(device, Config()), options);
    texts.push_back(GenerateAll(&engine, requests));
  }
  for (size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(texts[1][i], texts[0][i]) << i;
}

TEST_P(AgreementTest, LogProbabilitiesAgree) {
  GenerationRequest request = Request(RandomPrompt(7, 3), 8);
  request.left_padding = 0;
  request.sampling.temperature = 1;
  request.sampling.repetition_penalty = 1.2;  // which changes none of them
  request.log_probabilities = 3;
  std::vector<std::vector<TokenLogProbabilities>> rated;
  for (const std::string& device : ContractDevices()) {
    Engine engine(MakeOn(device, Config()), {});
    auto& results = rated.emplace_back();
    engine.Submit(request, [&](const GeneratedTokens& fresh) {
      results.insert(results.end(), fresh.log_probabilities.begin(), fresh.log_probabilities.end());
      return true;
    });
    engine.Run();
  }
  ASSERT_EQ(rated[0].size(), 8U);
  ASSERT_EQ(rated[1].size(), 8U);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(rated[1][i].chosen, rated[0][i].chosen, 1e-3);
    ASSERT_EQ(rated[1][i].top.size(), 3U);
    for (size_t j = 0; j < 3; ++j) {
      EXPECT_EQ(rated[1][i].top[j].id, rated[0][i].top[j].id);
      EXPECT_NEAR(rated[1][i].top[j].log_probability, rated[0][i].top[j].log_probability, 1e-3);
    }
  }
}

std::vector<std::string> ConfigNames() {
  std::vector<std::string> names;
  for (const auto& [name, config] : ContractConfigs()) names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Kinds, AgreementTest, testing::ValuesIn(ConfigNames()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace blockformer
