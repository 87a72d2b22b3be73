#include "train/model/t5_decoder.h"

#include <cmath>

#include "train/model/biased_attention.h"

namespace blockformer::train {
namespace {

std::shared_ptr<LinearLayer> MakeMatrix(int64_t in, int64_t out, ComputeType compute) {
  return std::make_shared<LinearLayer>(in, out, /*bias=*/false, /*kernel=*/0, compute);
}

class T5Attention : public torch::nn::Module {
 public:
  T5Attention(const T5Config& config, ComputeType compute) : heads_(config.num_heads) {
    const int64_t width = config.hidden_size;
    const int64_t inner = config.AttentionWidth();
    query_ = register_module("q", MakeMatrix(width, inner, compute));
    key_ = register_module("k", MakeMatrix(width, inner, compute));
    value_ = register_module("v", MakeMatrix(width, inner, compute));
    output_ = register_module("o", MakeMatrix(inner, width, compute));
  }

  std::pair<torch::Tensor, torch::Tensor> KeysAndValues(const torch::Tensor& x) const {
    return {Heads(*key_, x), Heads(*value_, x)};
  }

  torch::Tensor Forward(const torch::Tensor& x,
                        const std::pair<torch::Tensor, torch::Tensor>& keys_and_values,
                        const BiasedAttentionOptions& rules) const {
    return output_->Forward(
        BiasedAttention(Heads(*query_, x), keys_and_values.first, keys_and_values.second, rules));
  }

 private:
  torch::Tensor Heads(const LinearLayer& layer, const torch::Tensor& x) const {
    const torch::Tensor projected = layer.Forward(x);
    return projected.unflatten(-1, {heads_, projected.size(-1) / heads_});
  }

  int64_t heads_;
  std::shared_ptr<LinearLayer> query_;
  std::shared_ptr<LinearLayer> key_;
  std::shared_ptr<LinearLayer> value_;
  std::shared_ptr<LinearLayer> output_;
};

class T5FeedForward : public torch::nn::Module {
 public:
  T5FeedForward(const T5Config& config, ComputeType compute)
      : wi_(register_module("wi",
                            MakeMatrix(config.hidden_size, config.intermediate_size, compute))),
        wo_(register_module("wo",
                            MakeMatrix(config.intermediate_size, config.hidden_size, compute))),
        dropout_(register_module("dropout", std::make_shared<Dropout>(config.dropout))) {}

  torch::Tensor Forward(const torch::Tensor& x) const {
    return wo_->Forward(dropout_->Forward(torch::relu(wi_->Forward(x))));
  }

 private:
  std::shared_ptr<LinearLayer> wi_;
  std::shared_ptr<LinearLayer> wo_;
  std::shared_ptr<Dropout> dropout_;
};

}  // namespace

torch::Tensor PositionBuckets(const torch::Tensor& distances, const T5Config& config) {
  const int64_t exact = config.num_buckets / 2;
  const torch::Tensor distance = distances.clamp_min(0);
  const double octaves =
      std::log(static_cast<double>(config.max_distance) / static_cast<double>(exact));
  const torch::Tensor logarithmic =
      (torch::log(distance.to(torch::kFloat32) / static_cast<double>(exact)) / octaves *
       static_cast<double>(config.num_buckets - exact))
          .clamp_min(0)
          .to(torch::kInt64);
  return torch::where(distance < exact, distance,
                      (logarithmic + exact).clamp_max(config.num_buckets - 1));
}

class T5Decoder::Layer : public torch::nn::Module {
 public:
  Layer(const T5Config& config, ComputeType compute) {
    const auto list = register_module("layer", std::make_shared<torch::nn::Module>());
    for (const char* name : {"0", "1", "2"}) {
      sublayers_.push_back(list->register_module(name, std::make_shared<torch::nn::Module>()));
      norms_.push_back(sublayers_.back()->register_module(
          "layer_norm",
          std::make_shared<NormLayer>(Norm::kRmsNorm, config.hidden_size, config.layer_norm_eps)));
    }
    self_attention_ = sublayers_[0]->register_module(
        "SelfAttention", std::make_shared<T5Attention>(config, compute));
    cross_attention_ = sublayers_[1]->register_module(
        "EncDecAttention", std::make_shared<T5Attention>(config, compute));
    feed_forward_ = sublayers_[2]->register_module(
        "DenseReluDense", std::make_shared<T5FeedForward>(config, compute));
    dropout_ = register_module("dropout", std::make_shared<Dropout>(config.dropout));
  }

  torch::nn::Module& self_attention() { return *self_attention_; }
  const T5Attention& cross_attention() const { return *cross_attention_; }

  torch::Tensor Forward(const torch::Tensor& x, int64_t layer, const CrossKeys& cross,
                        const BiasedAttentionOptions& rules) const {
    const torch::Tensor normed = norms_[0]->Forward(x);
    const auto keys = self_attention_->KeysAndValues(normed);
    torch::Tensor hidden = x + dropout_->Forward(self_attention_->Forward(normed, keys, rules));
    BiasedAttentionOptions cross_rules;
    cross_rules.dropout = rules.dropout;
    hidden = hidden + dropout_->Forward(cross_attention_->Forward(norms_[1]->Forward(hidden),
                                                                  cross[layer], cross_rules));
    return hidden + dropout_->Forward(feed_forward_->Forward(norms_[2]->Forward(hidden)));
  }

 private:
  std::vector<std::shared_ptr<torch::nn::Module>> sublayers_;
  std::vector<std::shared_ptr<NormLayer>> norms_;
  std::shared_ptr<T5Attention> self_attention_;
  std::shared_ptr<T5Attention> cross_attention_;
  std::shared_ptr<T5FeedForward> feed_forward_;
  std::shared_ptr<Dropout> dropout_;
};

T5Decoder::T5Decoder(const T5Config& config, ComputeType compute) : config_(config) {
  const auto list = register_module("block", std::make_shared<torch::nn::Module>());
  for (int64_t i = 0; i < config.num_layers; ++i) {
    layers_.push_back(
        list->register_module(std::to_string(i), std::make_shared<Layer>(config, compute)));
  }
  relative_attention_bias_ = layers_.front()->self_attention().register_module(
      "relative_attention_bias",
      std::make_shared<EmbeddingTable>(config.num_buckets, config.num_heads));
  final_layer_norm_ = register_module(
      "final_layer_norm",
      std::make_shared<NormLayer>(Norm::kRmsNorm, config.hidden_size, config.layer_norm_eps));
  dropout_ = register_module("dropout", std::make_shared<Dropout>(config.dropout));
}

T5Decoder::CrossKeys T5Decoder::MakeCrossKeys(const torch::Tensor& vectors) const {
  CrossKeys keys;
  for (const auto& layer : layers_) {
    keys.push_back(layer->cross_attention().KeysAndValues(vectors));
  }
  return keys;
}

// f32 [heads, rows, rows].
torch::Tensor T5Decoder::PositionBias(int64_t rows) const {
  const auto i64 =
      torch::TensorOptions(torch::kInt64).device(relative_attention_bias_->weight().device());
  const torch::Tensor positions = torch::arange(rows, i64);
  const torch::Tensor distances = positions.unsqueeze(1) - positions;
  return relative_attention_bias_->Forward(PositionBuckets(distances, config_)).permute({2, 0, 1});
}

torch::Tensor T5Decoder::Forward(const torch::Tensor& x, const CrossKeys& cross,
                                 const torch::Tensor& mask) const {
  BiasedAttentionOptions rules;  // without scale: the initial values of the queries have it
  rules.position = PositionBias(x.size(1));
  rules.mask = mask;
  rules.causal = true;
  rules.dropout = dropout_->ActiveRate();
  torch::Tensor hidden = dropout_->Forward(x);
  for (size_t i = 0; i < layers_.size(); ++i) {
    hidden = layers_[i]->Forward(hidden, static_cast<int64_t>(i), cross, rules);
  }
  return dropout_->Forward(final_layer_norm_->Forward(hidden));
}

}  // namespace blockformer::train
