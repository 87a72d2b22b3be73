#include "train/loss.h"

#include "data/packing.h"

namespace blockformer {
namespace {

constexpr int64_t kChunkRows = 512;

class SoftmaxHeadFunction : public torch::autograd::Function<SoftmaxHeadFunction> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const torch::Tensor& hidden,
                                                const torch::Tensor& weight,
                                                const torch::Tensor& labels, bool bfloat16,
                                                bool gradients) {
    const auto type = bfloat16 ? torch::kBFloat16 : torch::kFloat32;
    const torch::Tensor head = weight.to(type);
    const torch::Tensor losses = torch::zeros({hidden.size(0)}, hidden.options());
    const torch::Tensor hidden_gradient = gradients ? torch::empty_like(hidden) : torch::Tensor();
    const torch::Tensor weight_gradient = gradients ? torch::zeros_like(weight) : torch::Tensor();
    for (int64_t begin = 0; begin < hidden.size(0); begin += kChunkRows) {
      const int64_t rows = std::min(kChunkRows, hidden.size(0) - begin);
      const torch::Tensor input = hidden.narrow(0, begin, rows).to(type);
      torch::Tensor logits = torch::mm(input, head.t()).to(torch::kFloat32);
      losses.narrow(0, begin, rows).copy_(SoftmaxRows(logits, labels.narrow(0, begin, rows)));
      if (!gradients) continue;
      const torch::Tensor slope = logits.to(type);
      hidden_gradient.narrow(0, begin, rows).copy_(torch::mm(slope, head));
      weight_gradient.add_(torch::mm(slope.t(), input));
    }
    context->save_for_backward({hidden_gradient, weight_gradient});
    context->mark_non_differentiable({losses});
    return {losses.sum(), losses};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    return {saved[0] * gradients[0], saved[1] * gradients[0], {}, {}, {}};
  }

 private:
  // Returns the losses and turns the logits into their gradient.
  static torch::Tensor SoftmaxRows(torch::Tensor& logits, const torch::Tensor& labels) {
    const torch::Tensor kept = (labels != kIgnoredLabel);
    const torch::Tensor index = labels.clamp_min(0).unsqueeze(1);
    const torch::Tensor normaliser = logits.logsumexp(1, /*keepdim=*/true);
    const torch::Tensor losses = (normaliser - logits.gather(1, index)).squeeze(1) * kept;
    logits.sub_(normaliser).exp_();
    logits.scatter_add_(1, index, torch::full_like(normaliser, -1.0));
    logits.mul_(kept.unsqueeze(1));
    return losses;
  }
};

}  // namespace

HeadLoss SoftmaxHeadLoss(const torch::Tensor& hidden, const torch::Tensor& weight,
                         const torch::Tensor& labels, ComputeType compute) {
  const bool gradients =
      torch::GradMode::is_enabled() && (hidden.requires_grad() || weight.requires_grad());
  const auto results = SoftmaxHeadFunction::apply(hidden, weight, labels,
                                                  compute == ComputeType::kBFloat16, gradients);
  return {results[0], results[1]};
}

}  // namespace blockformer
