// What a block step costs, as the emulation counts it, against the formulas that the limits of a
// GPU are computed with.
#include <gtest/gtest.h>

#include "tests/cuda_contract/models.h"

namespace blockformer {
namespace {

TEST(CudaCounts, ABlockStepTakesWhatTheFormulasSay) {
  constexpr int64_t kWidth = 64;
  constexpr int64_t kLayers = 2;
  constexpr int64_t kVocab = 500;
  constexpr int64_t kLength = 4;
  constexpr int64_t kPlaces = 2;
  constexpr int64_t kUnits = 24;
  ModelConfig config;
  config.vocab_size = kVocab;
  config.block_length = kLength;
  config.embedder.hidden_size = kWidth / kLength;
  config.decoder = {kWidth, kLayers, 2, 4 * kWidth, 0.25};
  config.token_decoder = {kWidth, kLayers, 2, 4 * kWidth, 0.25};
  config.prefix_length = 2;
  const cuda::CudaModel model(config, RandomWeights(config, 1, NumberType::kBf16), 0);
  RunnerOptions options;
  options.places = kPlaces;
  options.num_pages = 2 * kPlaces;
  options.max_units = 2 * options.page_size;
  options.kv_type = NumberType::kBf16;
  options.token_filter.count = kVocab;
  const std::unique_ptr<Runner> runner = model.MakeRunner(options);
  Step prompts;
  Step step;
  for (int32_t place = 0; place < kPlaces; ++place) {
    SequenceStart start;
    start.tokens = RandomPrompt(kUnits * kLength, 1);
    start.max_tokens = 100;
    runner->Open(place, start);
    prompts.new_pages.push_back({place, 0, 2 * place});
    prompts.new_pages.push_back({place, 1, 2 * place + 1});
    prompts.parts.push_back({place, 0, kUnits - 1, false});
    step.parts.push_back({place, kUnits - 1, 1, true});
  }
  runner->Start(prompts);
  runner->Wait();
  cuda::emulation::CountsSoFar() = {};
  runner->Start(step);
  runner->Wait();

  constexpr double kSquare = kWidth * kWidth;
  const double decoder = 24 * kSquare * kLayers / 4;
  const double expansion = 4 * kSquare / 4;
  // Five positions a block, the first of which skips the end of the last layer.
  const double token_decoder = 24 * kSquare * kLayers * 5 / 4 - 18 * kSquare / 4;
  const double head = 2 * kVocab * kWidth;
  constexpr double kTokens = kPlaces * kLength;
  const double flops = cuda::emulation::CountsSoFar().product_flops / kTokens;
  EXPECT_NEAR(flops, decoder + expansion + token_decoder + head, 0.05 * flops);
  const double bytes = cuda::emulation::CountsSoFar().cache_bytes / kTokens;
  EXPECT_NEAR(bytes, kUnits * 4.0 * kWidth * kLayers / 4, 0.05 * bytes);
}

}  // namespace
}  // namespace blockformer
