#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/parallel.h"
#include "tests/engine/engine_fixture.h"

namespace blockformer {
namespace {

class EngineTest : public EngineFixture {};

TEST_P(EngineTest, CachedDecodingEqualsRecomputation) {
  model_ = MakeTinyModel(TinyConfigs().at(GetParam()));
  for (const int64_t prompt_length : {1, 5, 6, 19}) {
    const std::vector<int32_t> prompt = RandomPrompt(prompt_length, 3);
    std::vector<int32_t> tokens = prompt;
    const std::vector<int32_t> generated = Alone(Request(prompt, 14));
    ASSERT_EQ(generated.size(), 14U);
    for (const int32_t token : generated) {
      SCOPED_TRACE("after " + std::to_string(tokens.size()) + " tokens, prompt of " +
                   std::to_string(prompt_length));
      ExpectMostLikely(RecomputedLogits(*model_, tokens, prompt_length), token);
      tokens.push_back(token);
    }
  }
}

TEST_P(EngineTest, BatchMatesChunksAndPlacesChangeNothing) {
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < 17; ++i) {
    requests.push_back(Request(RandomPrompt(1 + 5 * i % 41, static_cast<uint64_t>(i)), 1 + i * 2));
    requests.back().sampling.temperature = i % 2 == 0 ? 0.0 : 0.8;
    requests.back().sampling.seed = 5;
    requests.back().stream = static_cast<uint64_t>(i);
  }
  EngineOptions options;
  options.max_sequences = 5;
  options.max_prefill_tokens = 7;  // prompts are read in several chunks
  Engine engine(model_, options);
  const auto together = GenerateAll(&engine, requests);
  std::set<std::vector<int32_t>> different;
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(together[i], Alone(requests[i])) << "request " << i;
    EXPECT_EQ(static_cast<int64_t>(together[i].size()), requests[i].max_tokens);
    different.insert(together[i]);
  }
  EXPECT_GT(different.size(), 10U) << "the model's texts are too alike to tell anything";
}

TEST_P(EngineTest, ThreadsChangeNothing) {
  model_ = MakeTinyModel(TinyConfigs().at(GetParam()));
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < 4; ++i) {
    requests.push_back(Request(RandomPrompt(1 + 5 * i, static_cast<uint64_t>(i)), 20));
  }
  const int threads = NumThreads();
  std::vector<std::vector<std::vector<int32_t>>> results;
  for (const int count : {1, 3}) {
    SetNumThreads(count);
    Engine engine(model_, {});
    results.push_back(GenerateAll(&engine, requests));
  }
  SetNumThreads(threads);
  EXPECT_EQ(results[0], results[1]);
}

// Padding that the caller brings counts as the engine's own, which fills up a block.
TEST_P(EngineTest, PaddingOfThePromptIsTheEnginesOwn) {
  if (!model_->is_block()) return;
  const std::vector<int32_t> prompt = RandomPrompt(model_->unit_length() + 1, 4);
  GenerationRequest padded = Request(prompt, 9);
  const size_t padding = model_->unit_length() - 1;
  padded.prompt.insert(padded.prompt.begin(), padding,
                       static_cast<int32_t>(model_->config().PromptPadId()));
  padded.prompt_mask.assign(padded.prompt.size(), 1);
  std::fill_n(padded.prompt_mask.begin(), padding, 0);
  EXPECT_EQ(Alone(padded), Alone(Request(prompt, 9)));
}

TEST_P(EngineTest, PagesAreGivenBack) {
  EngineOptions options;
  options.max_sequences = 2;
  Engine engine(model_, options);
  // Far more sequences than the cache holds at once.
  for (int round = 0; round < 20; ++round) {
    std::vector<GenerationRequest> requests(3, Request(RandomPrompt(50, 1), 46));
    const auto results = GenerateAll(&engine, requests);
    for (const auto& result : results) EXPECT_EQ(result, results[0]);
  }
}

TEST_P(EngineTest, CallbacksArriveInOrderAndCanEndASequence) {
  Engine engine(model_, {});
  int calls = 0;
  std::vector<int32_t> tokens;
  engine.Submit(Request(RandomPrompt(4, 1), 60), [&](const GeneratedTokens& fresh) {
    EXPECT_FALSE(fresh.finished);
    tokens.insert(tokens.end(), fresh.ids.begin(), fresh.ids.end());
    return ++calls < 3;
  });
  engine.Run();
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(static_cast<int64_t>(tokens.size()), 3 * model_->unit_length());
  EXPECT_FALSE(engine.Step());
}

TEST_P(EngineTest, CancelledSequencesHearNoMore) {
  Engine engine(model_, {});
  const auto fail = [](const GeneratedTokens&) {
    ADD_FAILURE() << "called after it was cancelled";
    return true;
  };
  engine.Cancel(engine.Submit(Request(RandomPrompt(4, 1), 8), fail));
  engine.Run();
  engine.Cancel(12345);
}

TEST_P(EngineTest, NeverChoosesIdsBeyondTheTokenizer) {
  EngineOptions options;
  options.num_sampled_ids = 5;
  GenerationRequest request = Request(RandomPrompt(4, 1), 60);
  request.sampling.temperature = 5;
  for (const int32_t id : Alone(request, options)) EXPECT_LT(id, 5);
}

TEST_P(EngineTest, AnEmptyPromptStandsForTheEndOfText) {
  EXPECT_EQ(Alone(Request({}, 8)), Alone(Request({0}, 8)));
}

TEST_P(EngineTest, RefusesImpossibleRequests) {
  Engine engine(model_, {});
  const auto submit = [&](GenerationRequest request) {
    engine.Submit(std::move(request), [](const GeneratedTokens&) { return true; });
  };
  EXPECT_THROW(submit(Request({61}, 1)), Error);
  EXPECT_THROW(submit(Request({-1}, 1)), Error);
  EXPECT_THROW(submit(Request({1}, 0)), Error);
  EXPECT_THROW(submit(Request(RandomPrompt(90, 1), 7)), Error);
  GenerationRequest bad_mask = Request({1, 2}, 1);
  bad_mask.prompt_mask = {1};
  EXPECT_THROW(submit(bad_mask), Error);
  GenerationRequest bad_sampling = Request({1}, 1);
  bad_sampling.sampling.top_p = 0;
  EXPECT_THROW(submit(bad_sampling), Error);
  EXPECT_FALSE(engine.Step()) << "a refused request was kept";
  EngineOptions options;
  options.max_sequences = 0;
  EXPECT_THROW(Engine(model_, options), Error);
}

// How sequences share the cache does not depend on the parts of the model. One thread is quickest
// at steps this small, above all on a busy machine.
class EngineMemoryTest : public EngineTest {
 protected:
  EngineMemoryTest() : threads_(NumThreads()) { SetNumThreads(1); }
  ~EngineMemoryTest() override { SetNumThreads(threads_); }

 private:
  int threads_;
};

// Prompts of many lengths, most with one of two beginnings, some with padding, for units of
// `length` tokens.
GenerationRequest MixedRequest(int64_t i, int64_t length) {
  const uint64_t seed = static_cast<uint64_t>(i);
  std::vector<int32_t> prompt = RandomPrompt(1 + i * 7 % (12 * length), 1000 + seed);
  if (i % 3 != 0) {
    const std::vector<int32_t> beginning = RandomPrompt(20 * length, seed % 2);
    prompt.insert(prompt.begin(), beginning.begin(), beginning.end());
  }
  const int64_t units = i % 16 < 4 ? 50 : 6;  // some outgrow the page that each is admitted with
  GenerationRequest request = Request(std::move(prompt), 1 + i * 5 % length + (units - 1) * length);
  if (i % 10 == 4) {
    request.prompt_mask.assign(request.prompt.size(), 1);
    std::fill_n(request.prompt_mask.begin(), request.prompt.size() / 3, 0);
  }
  request.stop_at_eos = i % 4 == 0;
  request.sampling.temperature = i % 2 == 0 ? 0.0 : 0.9;
  request.sampling.repetition_penalty = i % 5 == 0 ? 1.2 : 1.0;
  request.stream = seed;
  request.priority = i % 7 == 0 ? 1 : 0;
  return request;
}

TEST_P(EngineMemoryTest, PreemptionSharingAndCancellationsChangeNothing) {
  constexpr int64_t kRequests = 200;
  constexpr int kCalls = 9;  // after which some have had enough
  const int64_t length = model_->unit_length();
  ModelConfig config = model_->config();
  config.max_length = 90 * length;
  model_ = MakeTinyModel(config, NumberType::kInt8);
  EngineOptions options;
  options.max_sequences = 1;
  options.share_prefixes = false;
  Engine alone(model_, options);
  options.max_sequences = 9;
  options.share_prefixes = true;
  options.memory_bytes = alone.options().memory_bytes * 3 / 2;
  options.max_prefill_tokens = 50;
  Engine engine(model_, options);
  std::vector<std::vector<int32_t>> results(kRequests);
  std::vector<int> calls(kRequests);
  std::vector<int64_t> ids;
  const auto submit = [&](size_t i) {
    const auto take = [&results, &calls, i](const GeneratedTokens& tokens) {
      results[i].insert(results[i].end(), tokens.ids.begin(), tokens.ids.end());
      return ++calls[i] < kCalls || i % 13 != 6;
    };
    ids.push_back(engine.Submit(MixedRequest(static_cast<int64_t>(i), length), take));
  };
  while (engine.Step() || ids.size() < kRequests) {
    for (int i = 0; i < 2 && ids.size() < kRequests; ++i) submit(ids.size());
    for (size_t i = 5; i < ids.size(); i += 11) {
      if (calls[i] >= kCalls) engine.Cancel(ids[i]);
    }
  }
  EXPECT_GT(engine.stats().preemptions, 10);
  EXPECT_GT(engine.stats().cached_prompt_units, 500);
  EXPECT_EQ(engine.stats().pages_in_use, 0);
  for (size_t i = 0; i < kRequests; ++i) {
    auto expected = GenerateAll(&alone, {MixedRequest(static_cast<int64_t>(i), length)})[0];
    if (i % 13 == 6 || i % 11 == 5) {
      expected.resize(std::min(expected.size(), static_cast<size_t>(kCalls * length)));
    }
    ASSERT_EQ(results[i], expected) << "request " << i;
  }
}

TEST_P(EngineMemoryTest, PaddingSharesNothingWithTokens) {
  GenerationRequest request = Request(RandomPrompt(80, 1), 10);
  const std::vector<int32_t> without = Alone(request);
  request.prompt_mask.assign(80, 1);
  std::fill_n(request.prompt_mask.begin(), 45, 0);
  const std::vector<int32_t> with = Alone(request);
  ASSERT_NE(with, without);
  Engine engine(model_, {});
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(GenerateAll(&engine, {Request(request.prompt, 10)})[0], without);
    EXPECT_EQ(GenerateAll(&engine, {request})[0], with);
  }
  const int64_t units = (80 + model_->unit_length() - 1) / model_->unit_length();
  EXPECT_EQ(engine.stats().cached_prompt_units, 2 * ((units - 1) / 16 * 16));
}

TEST_P(EngineMemoryTest, SharesOnlyIfAsked) {
  for (const bool share : {false, true}) {
    EngineOptions options;
    options.share_prefixes = share;
    Engine engine(model_, options);
    for (int i = 0; i < 2; ++i) GenerateAll(&engine, {Request(RandomPrompt(80, 1), 4)});
    EXPECT_EQ(engine.stats().cached_prompt_units > 0, share);
    EXPECT_EQ(engine.stats().pages_cached > 0, share);
  }
}

TEST_P(EngineMemoryTest, AHigherPriorityGoesFirst) {
  EngineOptions options;
  options.max_sequences = 1;
  Engine engine(model_, options);
  std::string order;
  const auto submit = [&](GenerationRequest request, char name) {
    engine.Submit(std::move(request), [&order, name](const GeneratedTokens& tokens) {
      if (tokens.finished) order += name;
      return true;
    });
  };
  submit(Request(RandomPrompt(4, 1), 60), 'a');
  engine.Step();
  submit(Request(RandomPrompt(4, 2), 9), 'b');
  GenerationRequest urgent = Request(RandomPrompt(4, 3), 9);
  urgent.priority = 1;
  submit(urgent, 'c');
  engine.Run();
  EXPECT_EQ(order, "cab");
}

TEST_P(EngineMemoryTest, SyntheticPromptsAreNotComputed) {
  EngineOptions options;
  options.max_sequences = 2;
  options.synthetic_prompts = true;
  Engine engine(model_, options);
  const auto results =
      GenerateAll(&engine, {Request(RandomPrompt(80, 1), 10), Request(RandomPrompt(80, 1), 16)});
  EXPECT_EQ(results[0].size(), 10U);
  EXPECT_EQ(results[1].size(), 16U);
  EXPECT_EQ(engine.stats().computed_prompt_units, 2);
  EXPECT_EQ(engine.stats().cached_prompt_units, 0);
  EXPECT_NE(results[0], Alone(Request(RandomPrompt(80, 1), 10)));
}

TEST_P(EngineMemoryTest, NamesTheLargestLengthThatFitsItsMemory) {
  EngineOptions options;
  options.max_sequences = 1;
  options.max_length = 500;
  const int64_t bytes = Engine(model_, options).options().memory_bytes;
  options.memory_bytes = bytes / 2;
  std::string message;
  try {
    Engine engine(model_, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kExhausted);
    message = error.what();
  }
  EXPECT_THAT(message, testing::StartsWith("`max_length`: 500 tokens take"));
  const size_t number = message.rfind(' ') + 1;
  ASSERT_LT(number, message.size());
  options.max_length = std::stoll(message.substr(number));
  EXPECT_GT(options.max_length, 200);
  Engine engine(model_, options);
  EXPECT_LE(engine.options().memory_bytes, bytes / 2);
  const std::vector<int32_t> prompt = RandomPrompt(options.max_length - 5, 1);
  EXPECT_EQ(GenerateAll(&engine, {Request(prompt, 5)})[0].size(), 5U);
  ++options.max_length;
  EXPECT_THROW(Engine(model_, options), Error);
  options.memory_bytes = -1;
  EXPECT_THROW(Engine(model_, options), Error);
}

TEST_P(EngineMemoryTest, WarnsOnceBeyondTheContext) {
  EngineOptions options;
  options.max_length = 200;
  Engine engine(model_, options);
  const auto warnings = [&](int64_t max_tokens) {
    testing::internal::CaptureStderr();
    GenerateAll(&engine, {Request(RandomPrompt(90, 1), max_tokens)});
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(warnings(6), "");
  EXPECT_THAT(warnings(7), testing::HasSubstr("97 tokens exceeds the context of 96"));
  EXPECT_EQ(warnings(7), "");
}

INSTANTIATE_TEST_SUITE_P(Kinds, EngineTest, testing::ValuesIn(TinyNames()),
                         [](const auto& kind) { return kind.param; });

INSTANTIATE_TEST_SUITE_P(Kinds, EngineMemoryTest, testing::Values("Prefix", "Vanilla"),
                         [](const auto& kind) { return kind.param; });

// Block lengths that fill vectors and pages, and those beside them.
class BlockLengthTest : public testing::TestWithParam<int64_t> {};

TEST_P(BlockLengthTest, CachedDecodingEqualsRecomputationAndEndsInsideABlock) {
  const int64_t length = GetParam();
  for (auto& [name, config] : TinyConfigs()) {
    if (config.kind == ModelKind::kVanilla) continue;
    SCOPED_TRACE(name);
    ModelConfig changed = config;
    changed.block_length = length;
    changed.max_length = 4 * length;
    if (changed.embedder.projection == EmbedderProjection::kConcat) {
      changed.decoder.hidden_size = 2 * length;
      changed.decoder.num_heads = 1;
      changed.decoder.num_kv_heads = 1;
      changed.decoder.head_dim = 0;  // the width
      changed.decoder.rotary_pct = 1;
      changed.embedder.hidden_size = 2;
    }
    if (changed.token_decoder_type != TokenDecoderType::kPrefix) changed.prefix_length = length;
    ValidateModelConfig(changed, name);
    const auto model = MakeTinyModel(changed);
    const int64_t prompt_length = length + 1;
    std::vector<int32_t> tokens = RandomPrompt(prompt_length, 3);
    Engine engine(model, {});
    const int64_t count = length + (length + 1) / 2;
    const std::vector<int32_t> generated = GenerateAll(&engine, {Request(tokens, count)})[0];
    ASSERT_EQ(static_cast<int64_t>(generated.size()), count);
    tokens.insert(tokens.end(), generated.begin(), generated.end() - 1);
    ExpectMostLikely(RecomputedLogits(*model, tokens, prompt_length), generated.back());
  }
}

INSTANTIATE_TEST_SUITE_P(Lengths, BlockLengthTest,
                         testing::Values(1, 2, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64),
                         testing::PrintToStringParamName());

TEST(ModelTest, RefusesHeadsThatAttentionDoesNotTake) {
  const auto expect_refused = [](const ModelConfig& config, const std::string& part) {
    try {
      MakeTinyModel(config);
      ADD_FAILURE() << part << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_THAT(error.what(), testing::HasSubstr(part + ": heads of"));
    }
  };
  ModelConfig config = TinyT5Config();
  config.t5.head_size = kMaxHeadSize;
  MakeTinyModel(config);
  config.t5.head_size = kMaxHeadSize + 1;
  expect_refused(config, "token_decoder");
  config = TinyRobertaConfig();
  config.embedder.hidden_size = 2 * kMaxHeadSize;
  MakeTinyModel(config);
  config.embedder.hidden_size = 2 * kMaxHeadSize + 2;
  expect_refused(config, "embedder");
}

TEST(ForwardTest, RefusesContradictingInputs) {
  const auto model = MakeTinyModel(TinyBlockConfig());
  ForwardInput input;
  input.batch = 1;
  input.units = 2;
  input.ids.assign(6, 1);
  input.mask.assign(6, 1);
  input.unit_mask.assign(1, 1);
  EXPECT_THROW(Forward(*model, input), Error);
  input.unit_mask.assign(2, 1);
  input.ids[3] = 61;
  EXPECT_THROW(Forward(*model, input), Error);
}

}  // namespace
}  // namespace blockformer
