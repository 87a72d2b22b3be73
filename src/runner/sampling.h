#ifndef BLOCKFORMER_RUNNER_SAMPLING_H_
#define BLOCKFORMER_RUNNER_SAMPLING_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "blockformer/sampling.h"

namespace blockformer {

// Throws Error(kInvalidArgument) that names the option and its range. Ids with a bias must be in
// [0, vocab_size), each once.
void ValidateSampling(const SamplingOptions& options,
                      int64_t vocab_size = std::numeric_limits<int32_t>::max());

// How a token is drawn.
enum class DrawMethod : int32_t {
  kLargest,    // the largest logit
  kGumbelMax,  // the largest of the logits with Gumbel noise: the softmax, unfiltered
  kFiltered,   // from the most likely tokens, which the filters keep
};
DrawMethod MethodOf(const SamplingOptions& options);

// The ids that may be chosen.
struct TokenFilter {
  int64_t count = 0;              // those from here on never are
  std::vector<int32_t> excluded;  // nor these, in ascending order
};

// How likely a model finds tokens at one position of a text: by its own logits, before anything of
// SamplingOptions. In nats, over the whole vocabulary.
struct TokenLogProbabilities {
  struct Entry {
    int32_t id = 0;
    double log_probability = 0;
  };
  double chosen = 0;       // of the token that stands there
  std::vector<Entry> top;  // the likeliest, most likely first; of equal ones the lower id
};

// The most entries of `top` that can be asked for.
inline constexpr int64_t kMaxTopLogProbabilities = 20;

}  // namespace blockformer

#endif  // BLOCKFORMER_RUNNER_SAMPLING_H_
