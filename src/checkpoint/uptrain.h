#ifndef BLOCKFORMER_CHECKPOINT_UPTRAIN_H_
#define BLOCKFORMER_CHECKPOINT_UPTRAIN_H_

#include <cstdint>
#include <vector>

#include "checkpoint/model_weights.h"
#include "checkpoint/weight_writer.h"
#include "config/model_config.h"

namespace blockformer {

// Which layers of a vanilla model the two decoders of a block model begin with.
enum class UptrainMethod {
  kPartition,  // the block decoder takes the first ones and the token decoder those after them
  kSkip,       // both take every second: layer i is the vanilla model's layer 2 i
  kDuplicate,  // both take all
};

struct UptrainOptions {
  UptrainMethod method = UptrainMethod::kPartition;
  int64_t block_length = 0;
  int64_t prefix_length = 2;
  // Layers of the block decoder with kPartition; 0: half, and the odd one.
  int64_t block_layers = 0;
};

// The block model into which a vanilla model is turned (section 3.6 of the paper): the widths,
// heads, kinds of layers and tied or separate head of the vanilla model, a lookup table of full
// width whose embeddings a Conv1d projects, and a prefix token decoder; its context is cut to whole
// blocks. Throws Error(kInvalidArgument) if the vanilla model cannot be divided so.
ModelConfig UptrainedConfig(const ModelConfig& vanilla, const UptrainOptions& options);

// Its initial weights, as the published implementation makes them. Tables, layers, output head and
// the token decoder's last norm are the vanilla model's; the projection is the mean over the block
// and the expansion the identity for every prefix vector; the block decoder's last norm is fresh.
// `vanilla` must outlive the result. What is made has the type `type`.
std::vector<WeightSource> UptrainedWeights(const ModelConfig& block, UptrainMethod method,
                                           const ModelWeights& vanilla, DataType type);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_UPTRAIN_H_
