#include "train/model/auxiliary_losses.h"

namespace blockformer::train {
namespace {

constexpr double kTemperature = 0.07;
constexpr double kSmallestNorm = 1e-8;

torch::Tensor Normalised(const torch::Tensor& rows) {
  return rows / rows.norm(2, {1}, /*keepdim=*/true).clamp_min(kSmallestNorm);
}

}  // namespace

torch::Tensor BlockLoss(const torch::Tensor& predicted, const torch::Tensor& target,
                        BlockDecodingLoss type) {
  if (predicted.size(0) == 0) return predicted.sum();
  const torch::Tensor fixed = target.detach();
  if (type == BlockDecodingLoss::kMse) return (predicted - fixed).square().mean();
  const torch::Tensor similarities =
      torch::matmul(Normalised(predicted), Normalised(fixed).t()) / kTemperature;
  return -similarities.log_softmax(1).diagonal().mean();
}

}  // namespace blockformer::train
