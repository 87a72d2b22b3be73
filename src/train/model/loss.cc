#include "train/model/loss.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "data/packing.h"
#include "train/kernels/gemm.h"
#include "train/kernels/simd.h"
#include "train/kernels/simd_math.h"

namespace blockformer::train {
namespace {

constexpr int64_t kChunkRows = 512;

// Returns the loss of one row of logits and turns the row into the loss's gradient.
BLOCKFORMER_SIMD_BODY float SoftmaxRowBody(int64_t label, int64_t count, float* row) {
  float largest = row[0];
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < count; ++i) largest = row[i] > largest ? row[i] : largest;
  const float chosen = row[label] - largest;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    row[i] = VectorExp(row[i] - largest);
    sum += row[i];
  }
  const float inverse = 1.0F / sum;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) row[i] *= inverse;
  row[label] -= 1.0F;
  return std::log(sum) - chosen;
}
constexpr Simd<SoftmaxRowBody> SoftmaxRow;

torch::Tensor SoftmaxRowsFused(const torch::Tensor& logits, const torch::Tensor& labels) {
  const torch::Tensor losses = torch::zeros({logits.size(0)}, logits.options());
  const int64_t count = logits.size(1);
  const int64_t* const label = labels.data_ptr<int64_t>();
  float* const loss = losses.data_ptr<float>();
  float* const rows = logits.data_ptr<float>();
  ParallelFor(logits.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* const row = rows + i * count;
      if (label[i] == kIgnoredLabel) {
        std::fill_n(row, count, 0.0F);
      } else {
        loss[i] = SoftmaxRow(label[i], count, row);
      }
    }
  });
  return losses;
}

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
    torch::Tensor weight_gradient = gradients ? torch::zeros_like(weight) : torch::Tensor();
    for (int64_t begin = 0; begin < hidden.size(0); begin += kChunkRows) {
      const int64_t rows = std::min(kChunkRows, hidden.size(0) - begin);
      const torch::Tensor input = hidden.narrow(0, begin, rows).to(type).contiguous();
      torch::Tensor product = torch::empty({rows, head.size(0)}, head.options());
      MatMulInto(product, input, false, head, true, /*accumulate=*/false);
      torch::Tensor logits = product.to(torch::kFloat32);
      losses.narrow(0, begin, rows).copy_(SoftmaxRows(logits, labels.narrow(0, begin, rows)));
      if (!gradients) continue;
      const torch::Tensor slope = logits.to(type);
      torch::Tensor input_gradient = torch::empty_like(input);
      MatMulInto(input_gradient, slope, false, head, false, /*accumulate=*/false);
      hidden_gradient.narrow(0, begin, rows).copy_(input_gradient);
      if (bfloat16) {
        weight_gradient.add_(torch::mm(slope.t(), input));
      } else {
        MatMulInto(weight_gradient, slope, true, input, false, /*accumulate=*/true);
      }
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
    if (logits.is_cpu()) return SoftmaxRowsFused(logits, labels);
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

}  // namespace blockformer::train
