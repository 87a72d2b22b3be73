// With int8 weights, whose sums are exact, a sequence's tokens are the same to the last bit
// whatever happens around it; and logits are close to those of float weights.
#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"
#include "base/random.h"
#include "devices/devices.h"
#include "engine/engine.h"
#include "engine/teacher_forcing.h"
#include "tests/cpu/tiny_model.h"

namespace blockformer {
namespace {

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
  const int64_t length = config.kind == ModelKind::kBlock ? config.block_length : 1;
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
class Int8EngineTest : public testing::TestWithParam<std::string> {
 protected:
  Int8EngineTest() : threads_(NumThreads()) {
    SetNumThreads(1);
    config_ = TinyConfigs().at(GetParam());
    config_.max_length = 84 * (config_.kind == ModelKind::kBlock ? config_.block_length : 1);
  }
  ~Int8EngineTest() override { SetNumThreads(threads_); }

  ModelConfig config_;

 private:
  int threads_;
};

TEST_P(Int8EngineTest, BatchMatesChunksPreemptionAndPrefixesChangeNothing) {
  const auto model = MakeTinyModel(config_, NumberType::kInt8);
  const std::vector<GenerationRequest> requests = MakeRequests(config_, 12);
  for (const NumberType kv_type : kKvTypes) {
    SCOPED_TRACE(NumberTypeName(kv_type));
    EngineOptions options;
    options.kv_type = kv_type;
    options.max_sequences = 1;
    const Texts expected = Alone(model, options, requests);
    const int64_t one_sequence = Engine(model, options).options().memory_bytes;
    options.max_sequences = 8;
    for (const int64_t prefill : {4, 7, 512}) {
      options.max_prefill_tokens = prefill;
      for (const bool share : {false, true}) {
        SCOPED_TRACE("chunks of " + std::to_string(prefill) + (share ? ", shared" : ""));
        options.share_prefixes = share;
        EngineStats stats;
        options.memory_bytes = 0;
        EXPECT_EQ(Generate(model, options, requests, &stats), expected);
        EXPECT_EQ(stats.cached_prompt_units > 0, share);
        options.memory_bytes = one_sequence;
        EXPECT_EQ(Generate(model, options, requests, &stats), expected);
        EXPECT_GT(stats.preemptions, 0);
      }
    }
  }
}

// Rounding to bf16 changes weights by up to a 2^-9th, 0.1 % on average. Rounding the largest of n
// normal numbers to 127 changes all of them by 1.0 (n = 40) to 0.7 % (n = 8) of their root mean
// square over the root of 3; weights and inputs alike. Some 20 such layers add up in squares to
// about 0.5 and 3 %, less where the residual stream passes them by.
TEST_P(Int8EngineTest, LogitsAreCloseToThoseOfFloats) {
  const int64_t length = config_.kind == ModelKind::kBlock ? config_.block_length : 1;
  ForwardInput input;
  input.batch = 2;
  input.units = 20;
  input.ids = RandomIds(input.batch * input.units * length, config_.vocab_size, 9);
  input.mask.assign(input.ids.size(), 1);
  input.unit_mask.assign(static_cast<size_t>(input.batch * input.units), 1);
  const auto logits = [&](NumberType type) {
    return Forward(*RandomModel(config_, 11, {"cpu", type}), input).logits;
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

INSTANTIATE_TEST_SUITE_P(Kinds, Int8EngineTest, testing::ValuesIn(TinyNames()),
                         [](const auto& kind) { return kind.param; });

// Large enough that every layer is divided among the threads.
TEST(Int8EngineThreadsTest, ThreadsChangeNothing) {
  ModelConfig config = TinyBlockConfig();
  config.vocab_size = 500;
  config.decoder = {96, 2, 3, 384, 0.5};
  config.embedder.hidden_size = 32;
  config.token_decoder = {96, 2, 3, 384, 0.5};
  const auto model = MakeTinyModel(config, NumberType::kInt8);
  std::vector<GenerationRequest> requests = MakeRequests(config, 8);
  for (GenerationRequest& request : requests) request.max_tokens = 10;
  EngineOptions options;
  options.kv_type = NumberType::kInt8;
  const int threads = NumThreads();
  SetNumThreads(1);
  const Texts one = Generate(model, options, requests);
  for (const int count : {2, 3}) {
    SetNumThreads(count);
    EXPECT_EQ(Generate(model, options, requests), one) << count << " threads";
  }
  SetNumThreads(threads);
}

}  // namespace
}  // namespace blockformer
