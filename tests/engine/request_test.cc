// What a request may ask for, over all kinds of model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/engine.h"
#include "tests/engine/engine_fixture.h"

namespace blockformer {
namespace {

class RequestTest : public EngineFixture {};

TEST_P(RequestTest, StopsAtTheEndOfText) {
  const std::vector<int32_t> prompt = RandomPrompt(9, 2);
  const std::vector<int32_t> endless = Alone(Request(prompt, 40));
  // Make the seventh token the end of the text.
  ModelConfig config = model_->config();
  config.eos_token_id = endless[6];
  model_ = MakeTinyModel(config, NumberType::kInt8);
  GenerationRequest request = Request(prompt, 40);
  request.stop_at_eos = true;
  const auto end = std::find(endless.begin(), endless.end(), endless[6]);
  EXPECT_EQ(Alone(request), std::vector<int32_t>(endless.begin(), end));
}

TEST_P(RequestTest, AnyOfSeveralIdsEndsAText) {
  const std::vector<int32_t> prompt = RandomPrompt(9, 2);
  const std::vector<int32_t> endless = Alone(Request(prompt, 40));
  ModelConfig config = model_->config();
  config.eos_token_id = config.vocab_size - 1;
  config.other_eos_token_ids = {endless[30], endless[6]};
  model_ = MakeTinyModel(config, NumberType::kInt8);
  GenerationRequest request = Request(prompt, 40);
  request.stop_at_eos = true;
  const auto end =
      std::find_if(endless.begin(), endless.end(), [&](int32_t id) { return config.EndsText(id); });
  EXPECT_EQ(Alone(request), std::vector<int32_t>(endless.begin(), end));
}

TEST_P(RequestTest, EndsAtAStopId) {
  GenerationRequest request = Request(RandomPrompt(4, 1), 40);
  request.sampling.temperature = 1;
  const std::vector<int32_t> endless = Alone(request);
  const int32_t stop = endless[7];
  request.stop_ids = {stop};
  std::vector<int32_t> tokens;
  std::optional<int32_t> stopped;
  Engine engine(model_, {});
  engine.Submit(request, [&](const GeneratedTokens& fresh) {
    tokens.insert(tokens.end(), fresh.ids.begin(), fresh.ids.end());
    stopped = fresh.stop_id;
    return true;
  });
  engine.Run();
  EXPECT_EQ(tokens, std::vector<int32_t>(endless.begin(), std::ranges::find(endless, stop)));
  EXPECT_EQ(stopped, stop);
}

TEST_P(RequestTest, ExcludedAndBiasedIdsHoldForTheirRequestAlone) {
  const GenerationRequest free = Request(RandomPrompt(4, 1), 20);
  const std::vector<int32_t> likeliest = Alone(free);
  GenerationRequest excluding = free;
  excluding.excluded_ids = {likeliest[0], 3, likeliest[1]};
  GenerationRequest biased = free;
  biased.sampling.logit_bias = {{17, 100}};
  Engine engine(model_, {});
  const auto results = GenerateAll(&engine, {free, excluding, biased});
  EXPECT_EQ(results[0], likeliest);
  for (const int32_t id : results[1]) {
    EXPECT_EQ(std::ranges::count(excluding.excluded_ids, id), 0) << id;
  }
  EXPECT_EQ(results[2], std::vector<int32_t>(20, 17));
}

TEST_P(RequestTest, ExcludingAllIdsIsAnError) {
  EngineOptions options;
  options.num_sampled_ids = 20;
  options.excluded_ids = {4, 7};
  Engine engine(model_, options);
  GenerationRequest request = Request(RandomPrompt(4, 1), 5);
  request.excluded_ids = {21, 1, 1};
  for (int32_t id = 0; id < 20; ++id) {
    if (id != 7 && id != 13) request.excluded_ids.push_back(id);
  }
  EXPECT_EQ(GenerateAll(&engine, {request})[0], std::vector<int32_t>(5, 13));
  request.excluded_ids.push_back(13);
  const auto on_tokens = [](const GeneratedTokens&) { return true; };
  const auto refuses = testing::ThrowsMessage<Error>(testing::HasSubstr("excluded_ids: all 20"));
  EXPECT_THAT([&] { engine.Submit(request, on_tokens); }, refuses);
  for (int32_t id = 0; id < 20; ++id) options.excluded_ids.push_back(id);
  EXPECT_THAT([&] { Engine(model_, options); }, refuses);
}

TEST_P(RequestTest, LogProbabilitiesAreThoseOfTheModelsLogits) {
  model_ = MakeTinyModel(TinyConfigs().at(GetParam()));
  GenerationRequest request = Request(RandomPrompt(7, 3), 8);
  request.sampling.temperature = 1;  // which changes none of them
  request.log_probabilities = 3;
  std::vector<int32_t> tokens = request.prompt;
  std::vector<TokenLogProbabilities> rated;
  Engine engine(model_, {});
  engine.Submit(request, [&](const GeneratedTokens& fresh) {
    tokens.insert(tokens.end(), fresh.ids.begin(), fresh.ids.end());
    rated.insert(rated.end(), fresh.log_probabilities.begin(), fresh.log_probabilities.end());
    return true;
  });
  engine.Run();
  ASSERT_EQ(rated.size(), 8U);
  for (size_t i = 0; i < rated.size(); ++i) {
    const auto end = tokens.begin() + static_cast<int64_t>(request.prompt.size() + i);
    const std::vector<float> logits = RecomputedLogits(*model_, {tokens.begin(), end}, 7);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    const auto expected = [&](int32_t id) { return logits[id] - std::log(sum); };
    constexpr double kTolerance = 1e-3;  // of logits up to 30 with 1e-4 of their range
    EXPECT_NEAR(rated[i].chosen, expected(*end), kTolerance);
    ASSERT_EQ(rated[i].top.size(), 3U);
    EXPECT_NEAR(rated[i].top[0].log_probability, std::ranges::max(logits) - std::log(sum),
                kTolerance);
    for (const auto& entry : rated[i].top) {
      EXPECT_NEAR(entry.log_probability, expected(entry.id), kTolerance);
    }
  }
}

// The prompt's tokens behind its last whole block stand first in the block that is generated.
TEST_P(RequestTest, GenerationMayBeginInsideABlock) {
  model_ = MakeTinyModel(TinyConfigs().at(GetParam()));
  const int64_t length = model_->unit_length();
  for (int64_t padding = 0; padding < length; ++padding) {
    GenerationRequest request = Request(RandomPrompt(4 * length + 1, 3), 11);
    request.left_padding = padding;
    const std::vector<int32_t> generated = Alone(request);
    ASSERT_EQ(generated.size(), 11U);
    std::vector<int32_t> tokens = request.prompt;
    for (const int32_t token : generated) {
      SCOPED_TRACE(testing::Message() << "padding " << padding << ", after " << tokens.size());
      ExpectMostLikely(RecomputedLogits(*model_, tokens, length - padding), token);
      tokens.push_back(token);
    }
  }
}

// With the same padding, a prompt that goes on from a text finds its blocks, whatever its length.
TEST_P(RequestTest, ATurnThatGoesOnFindsTheOneBefore) {
  Engine engine(model_, {});
  GenerationRequest turn = Request(RandomPrompt(40, 3), 10);
  turn.left_padding = 0;
  for (int i = 0; i < 3; ++i) {
    const std::vector<int32_t> text = GenerateAll(&engine, {turn})[0];
    turn.prompt.insert(turn.prompt.end(), text.begin(), text.end());
  }
  const int64_t per_turn = 40 / model_->unit_length() / 16 * 16;
  EXPECT_GE(engine.stats().cached_prompt_units, 2 * per_turn);
}

INSTANTIATE_TEST_SUITE_P(Kinds, RequestTest, testing::ValuesIn(TinyNames()),
                         [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace blockformer
