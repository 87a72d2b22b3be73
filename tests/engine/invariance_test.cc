// A sequence's tokens and log-likelihoods are the same to the last bit whatever happens around it,
// with every type of weights and of the KV cache; and logits of bf16 and int8 weights are close to
// those of f32.
#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"
#include "base/random.h"
#include "devices/devices.h"
#include "engine/engine.h"
#include "engine/scorer.h"
#include "engine/teacher_forcing.h"
#include "tests/cpu/tiny_model.h"

namespace blockformer {
namespace {

constexpr NumberType kWeightTypes[] = {NumberType::kF32, NumberType::kBf16, NumberType::kInt8};
constexpr NumberType kKvTypes[] = {NumberType::kF32, NumberType::kF16, NumberType::kInt8};

std::vector<int32_t> RandomIds(int64_t count, int64_t vocab, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>(random.Below(static_cast<uint64_t>(vocab))));
  }
  return ids;
}

// Prompts of many lengths, two thirds of them with the same beginning, and all ways to draw.
std::vector<GenerationRequest> MakeRequests(const ModelConfig& config, int64_t count) {
  const int64_t length = config.UnitLength();
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t seed = static_cast<uint64_t>(i);
    GenerationRequest request;
    request.prompt = RandomIds(1 + i * 5 % 23, config.vocab_size, 100 + seed);
    if (i % 3 != 0) {
      const std::vector<int32_t> beginning = RandomIds(17 * length, config.vocab_size, 1);
      request.prompt.insert(request.prompt.begin(), beginning.begin(), beginning.end());
    }
    // Some outgrow the page that each is admitted with.
    request.max_tokens = 1 + i % 3 + (i % 2 == 0 ? 40 : 4) * length;
    request.stop_at_eos = false;
    request.stream = seed;
    SamplingOptions& sampling = request.sampling;
    sampling.temperature = i % 5 == 0 ? 0 : 0.9;
    if (i % 5 == 2) sampling.top_k = 7;
    if (i % 5 == 3) sampling.top_p = 0.8;
    if (i % 5 == 4) sampling.min_p = 0.1;
    if (i % 4 == 3) sampling.repetition_penalty = 1.3;
    requests.push_back(std::move(request));
  }
  return requests;
}

using Texts = std::vector<std::vector<int32_t>>;

Texts Generate(const std::shared_ptr<const Model>& model, const EngineOptions& options,
               const std::vector<GenerationRequest>& requests, EngineStats* stats = nullptr) {
  Engine engine(model, options);
  Texts texts = GenerateAll(&engine, requests);
  if (stats != nullptr) *stats = engine.stats();
  return texts;
}

// One after the other, in an engine where nothing is shared and prompts are read at once.
Texts Alone(const std::shared_ptr<const Model>& model, const EngineOptions& options,
            const std::vector<GenerationRequest>& requests) {
  EngineOptions alone = options;
  alone.share_prefixes = false;
  Texts texts;
  for (const GenerationRequest& request : requests) {
    texts.push_back(Generate(model, alone, {request})[0]);
  }
  return texts;
}

// One thread is quickest at steps this small, above all on a busy machine.
class InvarianceTest : public testing::TestWithParam<std::tuple<std::string, NumberType>> {
 protected:
  InvarianceTest() : limit_(1), config_(TinyConfigs().at(std::get<std::string>(GetParam()))) {
    config_.max_length = 84 * unit_length();
    model_ = MakeTinyModel(config_, std::get<NumberType>(GetParam()));
  }

  int64_t unit_length() const { return config_.UnitLength(); }

  ThreadLimit limit_;
  ModelConfig config_;
  std::shared_ptr<const Model> model_;
};

TEST_P(InvarianceTest, BatchMatesChunksPreemptionAndPrefixesChangeNothing) {
  const std::vector<GenerationRequest> requests = MakeRequests(config_, 12);
  for (const NumberType kv_type : kKvTypes) {
    SCOPED_TRACE(NumberTypeName(kv_type));
    EngineOptions options;
    options.kv_type = kv_type;
    options.max_sequences = 1;
    const Texts expected = Alone(model_, options, requests);
    const int64_t one_sequence = Engine(model_, options).options().memory_bytes;
    options.max_sequences = 8;
    for (const int64_t prefill : {4, 7, 512}) {
      options.max_prefill_tokens = prefill;
      for (const bool share : {false, true}) {
        SCOPED_TRACE("chunks of " + std::to_string(prefill) + (share ? ", shared" : ""));
        options.share_prefixes = share;
        EngineStats stats;
        options.memory_bytes = 0;
        EXPECT_EQ(Generate(model_, options, requests, &stats), expected);
        EXPECT_EQ(stats.cached_prompt_units > 0, share);
        options.memory_bytes = one_sequence;
        EXPECT_EQ(Generate(model_, options, requests, &stats), expected);
        EXPECT_GT(stats.preemptions, 0);
      }
    }
  }
}

// Texts with long and short beginnings in common, of all lengths modulo the block's.
std::vector<ScoreRequest> TextsToScore(const ModelConfig& config) {
  std::vector<ScoreRequest> requests;
  for (int64_t i = 0; i < 16; ++i) {
    ScoreRequest request;
    request.tokens = RandomIds(i % 3 * 29, config.vocab_size, 5);
    const std::vector<int32_t> own =
        RandomIds(2 + i, config.vocab_size, static_cast<uint64_t>(100 + i));
    request.tokens.insert(request.tokens.end(), own.begin(), own.end());
    request.scored = i % 4 == 3 ? std::ssize(request.tokens) - 1 : 1 + i / 2;
    requests.push_back(std::move(request));
  }
  return requests;
}

using Scores = std::vector<std::vector<double>>;

Scores ScoreTexts(const std::shared_ptr<const Model>& model, int64_t batch_tokens,
                  const std::vector<ScoreRequest>& requests) {
  Scorer scorer(model, {0, batch_tokens, ScoringPadding::kPadded});
  Scores scores;
  for (const std::vector<TokenScore>& text : ScoreAll(&scorer, requests)) {
    scores.emplace_back();
    for (const TokenScore& score : text) scores.back().push_back(score.log_likelihood);
  }
  return scores;
}

TEST_P(InvarianceTest, LogLikelihoodsDoNotDependOnTheBatch) {
  const std::vector<ScoreRequest> requests = TextsToScore(config_);
  Scores alone;
  for (const ScoreRequest& request : requests) {
    alone.push_back(ScoreTexts(model_, 1 << 20, {request})[0]);
  }
  for (const int64_t batch_tokens : {1, 64, 4096}) {
    EXPECT_EQ(ScoreTexts(model_, batch_tokens, requests), alone) << batch_tokens;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, InvarianceTest,
                         testing::Combine(testing::ValuesIn(TinyNames()),
                                          testing::ValuesIn(kWeightTypes)),
                         [](const auto& test) {
                           return std::get<std::string>(test.param) + "_" +
                                  NumberTypeName(std::get<NumberType>(test.param));
                         });

class PrecisionTest : public testing::TestWithParam<std::string> {};

// Rounding to bf16 changes weights by up to a 2^-9th, 0.1 % on average. Rounding the largest of n
// normal numbers to 127 changes all of them by 1.0 (n = 40) to 0.7 % (n = 8) of their root mean
// square over the root of 3; weights and inputs alike. Some 20 such layers add up in squares to
// about 0.5 and 3 %, less where the residual stream passes them by.
TEST_P(PrecisionTest, LogitsAreCloseToThoseOfFloats) {
  const ModelConfig config = TinyConfigs().at(GetParam());
  const int64_t length = config.UnitLength();
  ForwardInput input;
  input.batch = 2;
  input.units = 20;
  input.ids = RandomIds(input.batch * input.units * length, config.vocab_size, 9);
  input.mask.assign(input.ids.size(), 1);
  input.unit_mask.assign(input.batch * input.units, 1);
  const auto logits = [&](NumberType type) {
    return Forward(*RandomModel(config, 11, {"cpu", type}), input).logits;
  };
  const std::vector<float> exact = logits(NumberType::kF32);
  const auto error = [&](NumberType type) {
    const std::vector<float> rounded = logits(type);
    double difference = 0;
    double norm = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      difference += std::pow(static_cast<double>(rounded[i]) - exact[i], 2);
      norm += std::pow(exact[i], 2);
    }
    return std::sqrt(difference / norm);
  };
  const double bf16 = error(NumberType::kBf16);
  const double int8 = error(NumberType::kInt8);
  EXPECT_GT(bf16, 0);
  EXPECT_LE(bf16, 0.01);
  EXPECT_GT(int8, bf16);
  EXPECT_LE(int8, 0.03);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PrecisionTest, testing::ValuesIn(TinyNames()),
                         [](const auto& kind) { return kind.param; });

// Large enough that every layer is divided among the threads.
class ThreadsTest : public testing::TestWithParam<std::tuple<ModelKind, NumberType>> {
 protected:
  ThreadsTest() {
    const bool is_block = std::get<ModelKind>(GetParam()) == ModelKind::kBlock;
    config_ = is_block ? TinyBlockConfig() : TinyVanillaConfig();
    config_.vocab_size = 500;
    config_.decoder = {96, 2, 3, 384, 0.5};
    config_.embedder.hidden_size = 32;
    config_.token_decoder = {96, 2, 3, 384, 0.5};
    model_ = MakeTinyModel(config_, std::get<NumberType>(GetParam()));
  }

  ModelConfig config_;
  std::shared_ptr<const Model> model_;
};

// A sequence alone, and beside up to 63 others.
TEST_P(ThreadsTest, ThreadsAndBatchMatesChangeNothing) {
  std::vector<GenerationRequest> requests = MakeRequests(config_, 64);
  for (GenerationRequest& request : requests) request.max_tokens = 7;
  EngineOptions options;
  options.max_sequences = 64;
  Texts alone;
  {
    const ThreadLimit one(1);
    alone = Alone(model_, options, requests);
  }
  for (const int threads : {1, 2, 3, 4}) {
    const ThreadLimit limit(threads);
    for (const size_t batch : {2, 5, 64}) {
      const std::vector<GenerationRequest> some(requests.begin(),
                                                requests.begin() + static_cast<int64_t>(batch));
      const Texts expected(alone.begin(), alone.begin() + static_cast<int64_t>(batch));
      EXPECT_EQ(Generate(model_, options, some), expected)
          << threads << " threads, batch " << batch;
    }
  }
}

TEST_P(ThreadsTest, LogLikelihoodsDoNotDependOnThreads) {
  const std::vector<ScoreRequest> requests = TextsToScore(config_);
  Scores one;
  {
    const ThreadLimit limit(1);
    one = ScoreTexts(model_, 1, requests);
  }
  for (const int threads : {2, 3, 4}) {
    const ThreadLimit limit(threads);
    EXPECT_EQ(ScoreTexts(model_, 4096, requests), one) << threads;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ThreadsTest,
                         testing::Combine(testing::Values(ModelKind::kBlock, ModelKind::kVanilla),
                                          testing::ValuesIn(kWeightTypes)),
                         [](const auto& test) {
                           const bool is_block =
                               std::get<ModelKind>(test.param) == ModelKind::kBlock;
                           return std::string(is_block ? "Block_" : "Vanilla_") +
                                  NumberTypeName(std::get<NumberType>(test.param));
                         });

}  // namespace
}  // namespace blockformer
