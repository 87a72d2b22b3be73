#include "train/layers.h"

namespace blockformer {

torch::Tensor Linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                     ComputeType compute) {
  if (compute == ComputeType::kFloat32) return torch::linear(x, weight, bias);
  const torch::Tensor product =
      torch::linear(x.to(torch::kBFloat16), weight.to(torch::kBFloat16)).to(torch::kFloat32);
  return bias.defined() ? product + bias : product;
}

LinearLayer::LinearLayer(int64_t in, int64_t out, bool bias, int64_t kernel, ComputeType compute)
    : compute_(compute) {
  std::vector<int64_t> shape = {out, in};
  if (kernel > 0) shape.push_back(kernel);
  weight_ = register_parameter("weight", torch::empty(shape));
  if (bias) bias_ = register_parameter("bias", torch::empty({out}));
}

torch::Tensor LinearLayer::Forward(const torch::Tensor& x) const {
  return Linear(x, weight_.flatten(1), bias_, compute_);
}

LayerNorm::LayerNorm(int64_t width, double epsilon) : epsilon_(epsilon) {
  weight_ = register_parameter("weight", torch::empty({width}));
  bias_ = register_parameter("bias", torch::empty({width}));
}

torch::Tensor LayerNorm::Forward(const torch::Tensor& x) const {
  return torch::layer_norm(x, weight_.sizes(), weight_, bias_, epsilon_);
}

EmbeddingTable::EmbeddingTable(int64_t entries, int64_t width) {
  weight_ = register_parameter("weight", torch::empty({entries, width}));
}

torch::Tensor EmbeddingTable::Forward(const torch::Tensor& ids) const {
  return torch::embedding(weight_, ids);
}

}  // namespace blockformer
