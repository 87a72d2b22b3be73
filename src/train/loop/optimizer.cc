#include "train/loop/optimizer.h"

#include <cmath>

#include "base/parallel.h"
#include "train/kernels/simd.h"

namespace blockformer::train {
namespace {

constexpr int64_t kGrain = 1 << 14;

BLOCKFORMER_SIMD_BODY void UpdateRangeBody(const AdamWUpdate& update, int64_t count,
                                           float* __restrict parameter,
                                           const float* __restrict gradient, float* __restrict mean,
                                           float* __restrict variance) {
  const AdamWUpdate u = update;  // a copy, so that no store can change it
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * u.gradient_scale;
    const float m = u.beta1 * mean[i] + (1 - u.beta1) * g;
    const float v = u.beta2 * variance[i] + (1 - u.beta2) * g * g;
    mean[i] = m;
    variance[i] = v;
    parameter[i] =
        u.decay * parameter[i] - u.rate * m / (__builtin_sqrtf(v) * u.variance_scale + u.epsilon);
  }
}
constexpr Simd<UpdateRangeBody> UpdateRange;

}  // namespace

AdamWUpdate::AdamWUpdate(const AdamWOptions& options, int64_t update, double learning_rate,
                         double scale)
    : gradient_scale(static_cast<float>(scale)),
      beta1(static_cast<float>(options.beta1)),
      beta2(static_cast<float>(options.beta2)),
      decay(static_cast<float>(1 - learning_rate * options.weight_decay)),
      epsilon(static_cast<float>(options.epsilon)) {
  const auto power = static_cast<double>(update);
  rate = static_cast<float>(learning_rate / (1 - std::pow(options.beta1, power)));
  variance_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(options.beta2, power)));
}

void UpdateFused(const AdamWUpdate& update, torch::Tensor& parameter, const torch::Tensor& gradient,
                 torch::Tensor& mean, torch::Tensor& variance) {
  float* const p = parameter.data_ptr<float>();
  const float* const g = gradient.data_ptr<float>();
  float* const m = mean.data_ptr<float>();
  float* const v = variance.data_ptr<float>();
  ParallelFor(parameter.numel(), kGrain, [&](int64_t begin, int64_t end) {
    UpdateRange(update, end - begin, p + begin, g + begin, m + begin, v + begin);
  });
}

void UpdateGeneric(const AdamWUpdate& update, torch::Tensor& parameter,
                   const torch::Tensor& gradient, torch::Tensor& mean, torch::Tensor& variance) {
  const torch::Tensor scaled = gradient * update.gradient_scale;
  mean.mul_(update.beta1).add_(scaled, 1 - update.beta1);
  variance.mul_(update.beta2).addcmul_(scaled, scaled, 1 - update.beta2);
  const torch::Tensor deviation = variance.sqrt().mul_(update.variance_scale).add_(update.epsilon);
  parameter.mul_(update.decay).addcdiv_(mean, deviation, -update.rate);
}

AdamW::AdamW(const torch::nn::Module& module, const AdamWOptions& options) : options_(options) {
  for (const auto& entry : module.named_parameters()) {
    slots_.push_back({entry.key(), entry.value(), torch::zeros_like(entry.value().detach()),
                      torch::zeros_like(entry.value().detach())});
  }
}

void AdamW::Step(double learning_rate, double gradient_scale) {
  torch::NoGradGuard no_gradients;
  const AdamWUpdate update(options_, ++updates_, learning_rate, gradient_scale);
  for (Slot& slot : slots_) {
    const torch::Tensor gradient = slot.parameter.grad();
    if (!gradient.defined()) continue;
    const auto apply = slot.parameter.is_cpu() ? UpdateFused : UpdateGeneric;
    apply(update, slot.parameter, gradient.contiguous(), slot.mean, slot.variance);
  }
}

double AdamW::GradientNorm() const {
  torch::Tensor sum;  // stays on the device until all is added up
  for (const Slot& slot : slots_) {
    const torch::Tensor gradient = slot.parameter.grad();
    if (!gradient.defined()) continue;
    const torch::Tensor square = gradient.norm().to(torch::kFloat64).square();
    sum = sum.defined() ? sum + square : square;
  }
  return sum.defined() ? std::sqrt(sum.item<double>()) : 0.0;
}

void AdamW::ZeroGradients() {
  for (Slot& slot : slots_) {
    if (slot.parameter.grad().defined()) slot.parameter.mutable_grad().zero_();
  }
}

NamedTensors AdamW::State() const {
  NamedTensors state;
  for (const Slot& slot : slots_) {
    state.emplace_back("exp_avg." + slot.name, slot.mean);
    state.emplace_back("exp_avg_sq." + slot.name, slot.variance);
  }
  return state;
}

double ClipScale(double norm, double max_norm) { return std::min(1.0, max_norm / (norm + 1e-6)); }

}  // namespace blockformer::train
