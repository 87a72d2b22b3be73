#ifndef BLOCKFORMER_SAMPLING_H_
#define BLOCKFORMER_SAMPLING_H_

#include <cstdint>
#include <utility>
#include <vector>

namespace blockformer {

// How the next token is drawn from the model's logits. What changes logits comes first, then the
// filters; both apply in the order of the fields.
struct SamplingOptions {
  std::vector<std::pair<int32_t, double>> logit_bias;  // added to an id's logit, -100 to 100 each
  double repetition_penalty = 1.0;  // 0.01 to 100; above 1, tokens of the prompt or the text so far
                                    // become less likely (Keskar et al., arXiv 1909.05858)
  double frequency_penalty = 0.0;   // -2 to 2; taken off a logit for each time the token was made
  double presence_penalty = 0.0;    // -2 to 2; taken off a logit once if the token was made
  double temperature = 0.0;         // >= 0; below 1e-6 it takes the most likely token
  int64_t top_k = 0;                // keep the k most likely tokens; 0 keeps all
  double top_p = 1.0;               // in (0, 1]; keep the fewest tokens of this much probability
  double min_p = 0.0;               // in [0, 1]; keep tokens at least this likely as the likeliest
  uint64_t seed = 0;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_SAMPLING_H_
