#ifndef BLOCKFORMER_CHECKPOINT_INT8_WEIGHTS_H_
#define BLOCKFORMER_CHECKPOINT_INT8_WEIGHTS_H_

#include <vector>

#include "checkpoint/model_weights.h"
#include "checkpoint/weight_writer.h"
#include "config/model_config.h"

namespace blockformer {

// The tensors of a model directory of int8 weights. Linear layers are int8 values and scales, as
// ModelQuantizer makes them, one at a time while they are written, which throws as it does; what is
// int8 already is copied. Vocabulary tables are F16, or BF16 if they are that; the other tensors
// keep their type. `weights` must outlive the result.
std::vector<WeightSource> Int8Weights(const ModelConfig& config, const ModelWeights& weights);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_INT8_WEIGHTS_H_
