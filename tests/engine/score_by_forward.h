#ifndef BLOCKFORMER_TESTS_ENGINE_SCORE_BY_FORWARD_H_
#define BLOCKFORMER_TESTS_ENGINE_SCORE_BY_FORWARD_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "engine/score_batch.h"
#include "engine/teacher_forcing.h"

namespace blockformer {

// Lays the whole text out as `padding` says and reads the scores off the logits of one pass.
inline std::vector<TokenScore> ScoreByForward(const Model& model, const ScoreRequest& request,
                                              ScoringPadding padding) {
  const int64_t length = model.unit_length();
  const int64_t left = model.is_block() && padding == ScoringPadding::kPadded ? length - 1 : 0;
  const int64_t count = static_cast<int64_t>(request.tokens.size());
  ForwardInput input;
  input.batch = 1;
  input.units = (left + count + length - 1) / length;
  input.ids.assign(input.units * length, 0);
  input.mask.assign(input.ids.size(), 0);
  input.unit_mask.assign(input.units, 0);
  for (int64_t i = 0; i < count; ++i) {
    const size_t slot = left + i;
    input.ids[slot] = request.tokens[i];
    input.mask[slot] = !model.is_block() || input.ids[slot] != 0;
    if (input.mask[slot] != 0) input.unit_mask[slot / static_cast<size_t>(length)] = 1;
  }
  const ForwardOutput output = Forward(model, input);
  const int64_t vocab = model.config().vocab_size;
  std::vector<TokenScore> scores;
  for (int64_t i = std::max(count - request.scored, length - left); i < count; ++i) {
    const float* logits = output.logits.data() + (left + i - length) * vocab;
    const float* largest = std::max_element(logits, logits + vocab);
    double sum = 0;
    for (int64_t v = 0; v < vocab; ++v) sum += std::exp(static_cast<double>(logits[v]) - *largest);
    const int32_t id = request.tokens[i];
    scores.push_back({logits[id] - *largest - std::log(sum), largest - logits == id});
  }
  return scores;
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_ENGINE_SCORE_BY_FORWARD_H_
