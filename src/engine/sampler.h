#ifndef BLOCKFORMER_ENGINE_SAMPLER_H_
#define BLOCKFORMER_ENGINE_SAMPLER_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace blockformer {

// How the next token is drawn. The filters apply in the order of the fields, as in Hugging Face's
// generate.
struct SamplingOptions {
  double repetition_penalty = 1.0;  // 0.01 to 100; above 1, tokens that have occurred become less
                                    // likely (Keskar et al., arXiv 1909.05858)
  double temperature = 0.0;         // >= 0; 0 takes the most likely token
  int64_t top_k = 0;                // keep the k most likely tokens; 0 keeps all
  double top_p = 1.0;               // in (0, 1]; keep the fewest tokens of this much probability
  double min_p = 0.0;               // in [0, 1]; keep tokens at least this likely as the likeliest
  uint64_t seed = 0;
};

// Throws Error(kInvalidArgument) that names the option and its range.
void ValidateSampling(const SamplingOptions& options);

// Chooses one of `logits`' ids. `history` holds the sequence so far, for the repetition penalty,
// which changes the logits. Throws Error(kCorrupt) if a logit is not a finite number. The draw
// depends only on (seed, stream, position), so a sequence's text does not depend on its batch
// mates.
int32_t SampleToken(const SamplingOptions& options, uint64_t stream, uint64_t position,
                    std::span<const int32_t> history, std::span<float> logits);

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_SAMPLER_H_
