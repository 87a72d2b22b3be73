#ifndef BLOCKFORMER_CPU_SAMPLER_H_
#define BLOCKFORMER_CPU_SAMPLER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/choice.h"

namespace blockformer {

// How the next token is drawn. The filters apply in the order of the fields, as in Hugging Face's
// generate.
struct SamplingOptions {
  double repetition_penalty = 1.0;  // 0.01 to 100; above 1, tokens that have occurred become less
                                    // likely (Keskar et al., arXiv 1909.05858)
  double temperature = 0.0;         // >= 0; below 1e-6 it takes the most likely token
  int64_t top_k = 0;                // keep the k most likely tokens; 0 keeps all
  double top_p = 1.0;               // in (0, 1]; keep the fewest tokens of this much probability
  double min_p = 0.0;               // in [0, 1]; keep tokens at least this likely as the likeliest
  uint64_t seed = 0;
};

// Throws Error(kInvalidArgument) that names the option and its range.
void ValidateSampling(const SamplingOptions& options);

// Where the next token of a sequence is drawn. The draw depends on (seed, stream, position) alone,
// so a sequence's text does not depend on its batch mates.
struct TokenDraw {
  const SamplingOptions* options = nullptr;
  uint64_t stream = 0;
  uint64_t position = 0;
  std::span<const int32_t> history = {};  // the sequence so far, for the repetition penalty
};

// How a draw is carried out.
enum class DrawMethod {
  kLargest,     // the largest logit
  kWithNoise,   // the largest of the logits with Gumbel noise: the softmax, unfiltered
  kCandidates,  // among the most likely tokens, which the filters keep
};
DrawMethod MethodOf(const SamplingOptions& options);

// The noise of kWithNoise, for FindLargestWithNoise.
uint64_t NoiseKey(const TokenDraw& draw);
float InverseTemperature(const SamplingOptions& options);

// Stands for a token that could not be chosen, since a logit was not a finite number.
inline constexpr int32_t kNoToken = -1;

// Chooses one of `logits`' ids, or kNoToken; the repetition penalty changes the logits.
int32_t SampleToken(const TokenDraw& draw, std::span<float> logits);

// For kCandidates, the same from the most likely tokens alone: ranked by logit, all tokens that are
// not among them come behind. `sum` is that of exp((logit - the largest logit) / temperature) over
// all tokens, to a relative error of kSumError; it counts only if top_p filters without top_k.
// Returns nothing if a token that is not there could be chosen, or the error of the sum could
// matter.
inline constexpr double kSumError = 1e-5;
std::optional<int32_t> SampleCandidate(const TokenDraw& draw,
                                       std::span<const RankedToken> candidates, bool all_tokens,
                                       double sum);

// The ids of a sequence, each once, ascending.
std::vector<int32_t> DistinctIds(std::span<const int32_t> history);
// Lowers the logits of the ids in `seen`; the first logit is that of `first_id`.
void PenaliseRepetition(double penalty, std::span<const int32_t> seen, int32_t first_id,
                        std::span<float> logits);

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_SAMPLER_H_
