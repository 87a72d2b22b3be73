#ifndef BLOCKFORMER_TRAIN_MODEL_AUXILIARY_LOSSES_H_
#define BLOCKFORMER_TRAIN_MODEL_AUXILIARY_LOSSES_H_

#include "config/train_recipe.h"
#include "train/torch.h"

namespace blockformer::train {

// How far the context embeddings are from the embeddings of the blocks they predict; scalar f32.
// Both are [blocks, width] and hold only blocks that have a token; the published implementation
// includes the others as zeros, whose cosines are NaN. kMse: the mean of squares. kContrastive: the
// mean cross entropy of finding the right block among all of them by cosine similarity, at
// temperature 0.07. No gradient goes to the targets. 0 if there are no blocks.
torch::Tensor BlockLoss(const torch::Tensor& predicted, const torch::Tensor& target,
                        BlockDecodingLoss type);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_AUXILIARY_LOSSES_H_
