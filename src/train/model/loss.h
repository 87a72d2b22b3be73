#ifndef BLOCKFORMER_TRAIN_MODEL_LOSS_H_
#define BLOCKFORMER_TRAIN_MODEL_LOSS_H_

#include "train/model/language_model.h"
#include "train/torch.h"

namespace blockformer::train {

struct HeadLoss {
  torch::Tensor sum;   // scalar f32 with a gradient
  torch::Tensor rows;  // f32 [rows], without one
};

// Negative log-likelihoods in nats of `labels`, i64 [rows], under softmax(hidden W^T), where hidden
// is f32 [rows, width] and weight f32 [vocabulary, width]; 0 where the label is kIgnoredLabel. The
// logits of all rows never exist at once: a chunk of rows is taken through the head, the softmax
// and their gradients while it is in cache.
HeadLoss SoftmaxHeadLoss(const torch::Tensor& hidden, const torch::Tensor& weight,
                         const torch::Tensor& labels, ComputeType compute);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_LOSS_H_
