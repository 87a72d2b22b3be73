#ifndef BLOCKFORMER_TESTS_ENGINE_ENGINE_FIXTURE_H_
#define BLOCKFORMER_TESTS_ENGINE_ENGINE_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "engine/engine.h"
#include "engine/teacher_forcing.h"
#include "tests/cpu/tiny_model.h"

namespace blockformer {

inline std::vector<int32_t> RandomPrompt(int64_t length, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> prompt;
  for (int64_t i = 0; i < length; ++i) prompt.push_back(static_cast<int32_t>(1 + random.Below(60)));
  return prompt;
}

inline GenerationRequest Request(std::vector<int32_t> prompt, int64_t max_tokens) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.stop_at_eos = false;
  return request;
}

// All kinds of model, by their names in TinyConfigs, with int8 weights.
class EngineFixture : public testing::TestWithParam<std::string> {
 protected:
  EngineFixture() : model_(MakeTinyModel(TinyConfigs().at(GetParam()), NumberType::kInt8)) {}

  std::vector<int32_t> Alone(GenerationRequest request, EngineOptions options = {}) const {
    Engine engine(model_, options);
    return GenerateAll(&engine, {std::move(request)})[0];
  }

  std::shared_ptr<const Model> model_;
};

// A teacher-forced pass over tokens, of which the first `prompt` are padded on the left to whole
// units, and the row of its logits that predicts the token behind them.
struct NextTokenPass {
  NextTokenPass(const Model& model, std::vector<int32_t> tokens, int64_t prompt) {
    const int64_t length = model.unit_length();
    const int64_t padding = (length - prompt % length) % length;
    tokens.insert(tokens.begin(), static_cast<size_t>(padding),
                  static_cast<int32_t>(model.config().PromptPadId()));
    const int64_t next = std::ssize(tokens);
    tokens.resize((next / length + 1) * length, 0);
    input.batch = 1;
    input.units = std::ssize(tokens) / length;
    input.mask.assign(tokens.size(), 1);
    std::fill_n(input.mask.begin(), padding, 0);
    input.unit_mask.assign(input.units, 1);
    input.ids = std::move(tokens);
    row = model.is_block() ? next - length : next - 1;
  }

  ForwardInput input;
  int64_t row = 0;
};

// The logits of the next token after `tokens`, by a teacher-forced pass over all of them.
inline std::vector<float> RecomputedLogits(const Model& model, std::vector<int32_t> tokens,
                                           int64_t prompt) {
  const NextTokenPass pass(model, std::move(tokens), prompt);
  const ForwardOutput output = Forward(model, pass.input);
  const int64_t vocab = model.config().vocab_size;
  const auto first = output.logits.begin() + pass.row * vocab;
  return {first, first + vocab};
}

// With a tolerance of f32 sums in another order through a few layers.
inline void ExpectMostLikely(const std::vector<float>& logits, int32_t token) {
  constexpr float kRelativeTolerance = 1e-4F;
  const auto [least, most] = std::minmax_element(logits.begin(), logits.end());
  EXPECT_GE(logits[token], *most - kRelativeTolerance * (*most - *least));
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_ENGINE_ENGINE_FIXTURE_H_
