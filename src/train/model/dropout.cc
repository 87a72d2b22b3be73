#include "train/model/dropout.h"

#include <ATen/CPUGeneratorImpl.h>

#include "base/parallel.h"
#include "train/kernels/dropout_mask.h"
#include "train/kernels/simd.h"

namespace blockformer::train {
namespace {

constexpr int64_t kDropoutGrain = 1 << 14;

BLOCKFORMER_SIMD_BODY void MultiplyByMaskBody(const float* in, const DropoutMask& mask,
                                              int64_t begin, int64_t end, float* out) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) out[i] = in[i] * mask.Factor(i);
}
constexpr Simd<MultiplyByMaskBody> MultiplyByMask;

torch::Tensor Masked(const torch::Tensor& x, double rate, int64_t key) {
  const torch::Tensor input = x.contiguous();
  const torch::Tensor output = torch::empty_like(input);
  const DropoutMask mask(rate, static_cast<uint64_t>(key));
  const float* const in = input.data_ptr<float>();
  float* const out = output.data_ptr<float>();
  ParallelFor(input.numel(), kDropoutGrain,
              [&](int64_t begin, int64_t end) { MultiplyByMask(in, mask, begin, end, out); });
  return output;
}

class DropoutFunction : public torch::autograd::Function<DropoutFunction> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               double rate, int64_t key) {
    context->saved_data["rate"] = rate;
    context->saved_data["key"] = key;
    return Masked(x, rate, key);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    return {Masked(gradients[0], context->saved_data["rate"].toDouble(),
                   context->saved_data["key"].toInt()),
            {},
            {}};
  }
};

uint64_t DrawKey() {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  return at::check_generator<at::CPUGeneratorImpl>(generator)->random64();
}

}  // namespace

torch::Tensor DropElements(const torch::Tensor& x, double rate, uint64_t key) {
  return DropoutFunction::apply(x, rate, static_cast<int64_t>(key));
}

torch::Tensor ApplyDropout(const torch::Tensor& x, double rate) {
  if (rate == 0) return x;
  return x.is_cpu() ? DropElements(x, rate, DrawKey()) : torch::dropout(x, rate, true);
}

}  // namespace blockformer::train
