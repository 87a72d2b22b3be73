#include "train/neox_stack.h"

namespace blockformer::train {
namespace {

class Attention : public torch::nn::Module {
 public:
  Attention(const TransformerConfig& config, ComputeType compute)
      : heads_(config.num_heads),
        query_key_value_(register_module(
            "query_key_value",
            std::make_shared<LinearLayer>(config.hidden_size, 3 * config.hidden_size, compute))),
        dense_(register_module("dense", std::make_shared<LinearLayer>(
                                            config.hidden_size, config.hidden_size, compute))) {}

  torch::Tensor Forward(const torch::Tensor& x, int64_t layer, const RotaryTable& rotary,
                        const StackContext& context, int64_t first_output) const {
    const torch::Tensor projected = query_key_value_->Forward(x);
    torch::Tensor mixed =
        context.cache == nullptr
            ? FusedCausalAttention(projected, heads_, rotary, context.mask, context.padding_queries)
            : AttendCached(projected, layer, rotary, context);
    if (first_output > 0) mixed = mixed.slice(1, first_output);
    return dense_->Forward(mixed);
  }

 private:
  torch::Tensor AttendCached(const torch::Tensor& projected, int64_t layer,
                             const RotaryTable& rotary, const StackContext& context) const {
    const auto parts = projected.unflatten(-1, {heads_, projected.size(-1) / heads_}).chunk(3, -1);
    const auto [keys, values] =
        context.cache->Append(layer, RotateHeads(parts[1], rotary), parts[2]);
    return CausalAttention(RotateHeads(parts[0], rotary), keys, values, context.mask,
                           context.padding_queries);
  }

  int64_t heads_;
  std::shared_ptr<LinearLayer> query_key_value_;
  std::shared_ptr<LinearLayer> dense_;
};

class FeedForward : public torch::nn::Module {
 public:
  FeedForward(const TransformerConfig& config, ComputeType compute)
      : dense_h_to_4h_(register_module(
            "dense_h_to_4h",
            std::make_shared<LinearLayer>(config.hidden_size, config.intermediate_size, compute))),
        dense_4h_to_h_(register_module(
            "dense_4h_to_h",
            std::make_shared<LinearLayer>(config.intermediate_size, config.hidden_size, compute))) {
  }

  torch::Tensor Forward(const torch::Tensor& x) const {
    return dense_4h_to_h_->Forward(torch::gelu(dense_h_to_4h_->Forward(x)));
  }

 private:
  std::shared_ptr<LinearLayer> dense_h_to_4h_;
  std::shared_ptr<LinearLayer> dense_4h_to_h_;
};

}  // namespace

class NeoxStack::Layer : public torch::nn::Module {
 public:
  Layer(const TransformerConfig& config, ComputeType compute)
      : parallel_residual_(config.parallel_residual),
        input_layernorm_(register_module(
            "input_layernorm",
            std::make_shared<LayerNorm>(config.hidden_size, config.layer_norm_eps))),
        post_attention_layernorm_(register_module(
            "post_attention_layernorm",
            std::make_shared<LayerNorm>(config.hidden_size, config.layer_norm_eps))),
        attention_(register_module("attention", std::make_shared<Attention>(config, compute))),
        mlp_(register_module("mlp", std::make_shared<FeedForward>(config, compute))) {}

  // Only the rows from `first_output` on are wanted; the others serve as keys and values.
  torch::Tensor Forward(const torch::Tensor& x, int64_t layer, const RotaryTable& rotary,
                        const StackContext& context, int64_t first_output) const {
    const torch::Tensor attention =
        attention_->Forward(input_layernorm_->Forward(x), layer, rotary, context, first_output);
    const torch::Tensor input = first_output > 0 ? x.slice(1, first_output) : x;
    const torch::Tensor residual = input + attention;
    return residual +
           mlp_->Forward(post_attention_layernorm_->Forward(parallel_residual_ ? input : residual));
  }

 private:
  bool parallel_residual_;
  std::shared_ptr<LayerNorm> input_layernorm_;
  std::shared_ptr<LayerNorm> post_attention_layernorm_;
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<FeedForward> mlp_;
};

NeoxStack::NeoxStack(const TransformerConfig& config, ComputeType compute) : config_(config) {
  const auto list = register_module("layers", std::make_shared<torch::nn::Module>());
  for (int64_t i = 0; i < config.num_layers; ++i) {
    layers_.push_back(
        list->register_module(std::to_string(i), std::make_shared<Layer>(config, compute)));
  }
  final_layer_norm_ = register_module(
      "final_layer_norm", std::make_shared<LayerNorm>(config.hidden_size, config.layer_norm_eps));
}

KvCache NeoxStack::MakeCache(int64_t batch, int64_t capacity, torch::Device device) const {
  return KvCache({config_.num_layers, batch, capacity, config_.num_heads, config_.HeadSize()},
                 device);
}

torch::Tensor NeoxStack::Forward(const torch::Tensor& x, const StackContext& context) const {
  const RotaryTable rotary =
      MakeRotaryTable(context.positions, config_.RotarySize() / 2, config_.rotary_base);
  torch::Tensor hidden = x;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const bool last = i + 1 == layers_.size();
    hidden = layers_[i]->Forward(hidden, static_cast<int64_t>(i), rotary, context,
                                 last ? context.first_output : 0);
  }
  if (context.cache != nullptr) context.cache->Advance(x.size(1));
  return final_layer_norm_->Forward(hidden);
}

}  // namespace blockformer::train
