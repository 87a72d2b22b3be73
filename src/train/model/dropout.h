#ifndef BLOCKFORMER_TRAIN_MODEL_DROPOUT_H_
#define BLOCKFORMER_TRAIN_MODEL_DROPOUT_H_

#include <cstdint>

#include "train/torch.h"

namespace blockformer::train {

// Dropout (Srivastava et al., 2014): removes a share `rate`, in [0, 1), of the elements of x. Each
// call draws a key from libtorch's default generator, and the key alone decides which elements are
// removed: seeding the generator fixes them.
torch::Tensor ApplyDropout(const torch::Tensor& x, double rate);

// Dropout in training mode, the identity in evaluation mode.
class Dropout : public torch::nn::Module {
 public:
  explicit Dropout(double rate) : rate_(rate) {}

  torch::Tensor Forward(const torch::Tensor& x) const { return ApplyDropout(x, ActiveRate()); }

  // The rate in training mode, 0 in evaluation mode.
  double ActiveRate() const { return is_training() ? rate_ : 0; }

 private:
  double rate_;
};

// x with the elements of DropoutMask(rate, key) removed. x is f32 of any shape, on the CPU.
torch::Tensor DropElements(const torch::Tensor& x, double rate, uint64_t key);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_DROPOUT_H_
