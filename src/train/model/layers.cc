#include "train/model/layers.h"

#include "train/kernels/gemm.h"

namespace blockformer::train {
namespace {

// What a custom function needs in place of an undefined tensor.
c10::optional<torch::Tensor> IfDefined(const torch::Tensor& tensor) {
  return tensor.defined() ? c10::make_optional(tensor) : c10::nullopt;
}

// An f32 linear layer on the CPU.
class LinearFunction : public torch::autograd::Function<LinearFunction> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight,
                               const c10::optional<torch::Tensor>& bias) {
    const torch::Tensor rows = x.reshape({-1, x.size(-1)}).contiguous();
    context->save_for_backward({rows, weight});
    context->saved_data["bias"] = bias.has_value();
    // A copy even for one row: the product is added to it.
    torch::Tensor output = bias.has_value()
                               ? bias->repeat({rows.size(0), 1})
                               : torch::empty({rows.size(0), weight.size(0)}, x.options());
    MatMulInto(output, rows, false, weight, true, /*accumulate=*/bias.has_value());
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = weight.size(0);
    return output.view(shape);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor& rows = saved[0];
    const torch::Tensor& weight = saved[1];
    const torch::Tensor slope = gradients[0].reshape({-1, weight.size(0)}).contiguous();
    torch::Tensor input_gradient = torch::empty_like(rows);
    torch::Tensor weight_gradient = torch::empty_like(weight);
    MatMulInto(input_gradient, slope, false, weight, false, /*accumulate=*/false);
    MatMulInto(weight_gradient, slope, true, rows, false, /*accumulate=*/false);
    std::vector<int64_t> shape = gradients[0].sizes().vec();
    shape.back() = weight.size(1);
    return {input_gradient.view(shape), weight_gradient,
            context->saved_data["bias"].toBool() ? slope.sum(0) : torch::Tensor()};
  }
};

}  // namespace

torch::Tensor Linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                     ComputeType compute) {
  if (compute == ComputeType::kFloat32) {
    return x.is_cpu() ? LinearFunction::apply(x, weight, IfDefined(bias))
                      : torch::linear(x, weight, bias);
  }
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

NormLayer::NormLayer(Norm kind, int64_t width, double epsilon) : epsilon_(epsilon) {
  weight_ = register_parameter("weight", torch::empty({width}));
  if (kind == Norm::kLayerNorm) bias_ = register_parameter("bias", torch::empty({width}));
}

torch::Tensor NormLayer::Forward(const torch::Tensor& x) const {
  if (bias_.defined()) return torch::layer_norm(x, weight_.sizes(), weight_, bias_, epsilon_);
  return x * torch::rsqrt(x.square().mean(-1, /*keepdim=*/true) + epsilon_) * weight_;
}

EmbeddingTable::EmbeddingTable(int64_t entries, int64_t width, int64_t padding_row)
    : padding_row_(padding_row) {
  weight_ = register_parameter("weight", torch::empty({entries, width}));
}

torch::Tensor EmbeddingTable::Forward(const torch::Tensor& ids) const {
  return torch::embedding(weight_, ids, padding_row_);
}

}  // namespace blockformer::train
