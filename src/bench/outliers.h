#ifndef BLOCKFORMER_BENCH_OUTLIERS_H_
#define BLOCKFORMER_BENCH_OUTLIERS_H_

#include <cstdint>

#include "checkpoint/quantize.h"
#include "config/model_config.h"

namespace blockformer {

// The largest number of channels that WithOutliers() takes: the width of the narrowest stack.
int64_t MaxOutliers(const ModelConfig& config);

// The parameters that `read` gives, with activations as large models have them (Dettmers et al.,
// arXiv 2208.07339): behind each norm that a stack's layer begins its attention and its MLP with,
// `channels` channels, drawn from a fixed seed, are 100 times as large, and the weights that read
// them 1/100 of what they were. But for rounding the model computes what it did.
ModelQuantizer::ReadFloats WithOutliers(const ModelConfig& config, ModelQuantizer::ReadFloats read,
                                        int64_t channels);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_OUTLIERS_H_
