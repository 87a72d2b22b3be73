#ifndef BLOCKFORMER_TRAIN_MODEL_LAYERS_H_
#define BLOCKFORMER_TRAIN_MODEL_LAYERS_H_

#include "train/model/language_model.h"
#include "train/torch.h"

namespace blockformer::train {

// x W^T (+ b) over the last dimension. With bf16 compute the product's inputs are cast and its
// result is widened to f32 before the bias. `bias` may be undefined. Result f32.
torch::Tensor Linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                     ComputeType compute);

// A linear layer, or a Conv1d whose stride is its kernel, which is a linear layer on unrolled
// inputs.
class LinearLayer : public torch::nn::Module {
 public:
  // The parameters are `weight` [out, in], or [out, in, kernel] if kernel > 0, and `bias` [out].
  LinearLayer(int64_t in, int64_t out, bool bias, int64_t kernel, ComputeType compute);
  LinearLayer(int64_t in, int64_t out, ComputeType compute)
      : LinearLayer(in, out, /*bias=*/true, /*kernel=*/0, compute) {}

  // x is [..., in], or [..., in * kernel] with the kernel's positions fastest.
  torch::Tensor Forward(const torch::Tensor& x) const;

  const torch::Tensor& weight() const { return weight_; }

 private:
  torch::Tensor weight_;
  torch::Tensor bias_;
  ComputeType compute_;
};

// A norm over the last dimension.
class NormLayer : public torch::nn::Module {
 public:
  // The parameters are `weight` [width] and, of a layer norm, `bias` [width].
  NormLayer(Norm kind, int64_t width, double epsilon);

  torch::Tensor Forward(const torch::Tensor& x) const;

 private:
  torch::Tensor weight_;
  torch::Tensor bias_;  // undefined in an RMS norm
  double epsilon_;
};

// A table of embeddings, [entries, width].
class EmbeddingTable : public torch::nn::Module {
 public:
  // The row `padding_row`, unless it is -1, gets no gradient.
  EmbeddingTable(int64_t entries, int64_t width, int64_t padding_row = -1);

  // ids i64 [...] give f32 [..., width].
  torch::Tensor Forward(const torch::Tensor& ids) const;

  const torch::Tensor& weight() const { return weight_; }

 private:
  torch::Tensor weight_;
  int64_t padding_row_;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_LAYERS_H_
