#ifndef BLOCKFORMER_TRAIN_SAMPLING_H_
#define BLOCKFORMER_TRAIN_SAMPLING_H_

#include <cstdint>
#include <vector>

#include "train/torch.h"

namespace blockformer::train {

// How the next token is drawn. The filters apply in the order of the fields.
struct SamplingSettings {
  double temperature = 0.0;  // 0 takes the most likely token
  int64_t top_k = 0;         // keep the k most likely tokens; 0 keeps all
  double top_p = 1.0;        // keep the fewest tokens of this much probability
  uint64_t seed = 0;
};

// Throws Error(kInvalidArgument) that names the setting and its range.
void ValidateSampling(const SamplingSettings& settings);

// One token for each row of logits, f32 [rows, vocabulary]; returns i64 [rows] on the same device.
// A row's draw depends only on the seed, its entry of `streams` and `position`, not on other rows.
torch::Tensor SampleTokens(const SamplingSettings& settings, const torch::Tensor& logits,
                           const std::vector<uint64_t>& streams, uint64_t position);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_SAMPLING_H_
