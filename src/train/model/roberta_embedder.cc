#include "train/model/roberta_embedder.h"

#include <cmath>

#include "train/model/biased_attention.h"

namespace blockformer::train {
namespace {

// norm(input + dropout(dense(x))), which ends both sublayers.
class SublayerOutput : public torch::nn::Module {
 public:
  SublayerOutput(int64_t in, int64_t width, const EncoderConfig& config, ComputeType compute)
      : dense_(register_module("dense", std::make_shared<LinearLayer>(in, width, compute))),
        layer_norm_(register_module(
            "LayerNorm",
            std::make_shared<NormLayer>(Norm::kLayerNorm, width, config.layer_norm_eps))),
        dropout_(register_module("dropout", std::make_shared<Dropout>(config.dropout))) {}

  torch::Tensor Forward(const torch::Tensor& x, const torch::Tensor& input) const {
    return layer_norm_->Forward(input + dropout_->Forward(dense_->Forward(x)));
  }

 private:
  std::shared_ptr<LinearLayer> dense_;
  std::shared_ptr<NormLayer> layer_norm_;
  std::shared_ptr<Dropout> dropout_;
};

class SelfAttention : public torch::nn::Module {
 public:
  SelfAttention(int64_t width, const EncoderConfig& config, ComputeType compute)
      : heads_(config.num_heads),
        query_(register_module("query", std::make_shared<LinearLayer>(width, width, compute))),
        key_(register_module("key", std::make_shared<LinearLayer>(width, width, compute))),
        value_(register_module("value", std::make_shared<LinearLayer>(width, width, compute))),
        dropout_(register_module("dropout", std::make_shared<Dropout>(config.dropout))) {}

  torch::Tensor Forward(const torch::Tensor& x, const torch::Tensor& mask) const {
    const int64_t head_size = x.size(-1) / heads_;
    const auto heads = [&](const LinearLayer& layer) {
      return layer.Forward(x).unflatten(-1, {heads_, head_size});
    };
    BiasedAttentionOptions rules;
    rules.scale = 1 / std::sqrt(static_cast<double>(head_size));
    rules.mask = mask;
    rules.dropout = dropout_->ActiveRate();
    return BiasedAttention(heads(*query_), heads(*key_), heads(*value_), rules);
  }

 private:
  int64_t heads_;
  std::shared_ptr<LinearLayer> query_;
  std::shared_ptr<LinearLayer> key_;
  std::shared_ptr<LinearLayer> value_;
  std::shared_ptr<Dropout> dropout_;
};

}  // namespace

class RobertaEmbedder::Embeddings : public torch::nn::Module {
 public:
  Embeddings(const ModelConfig& config, const EncoderConfig& encoder)
      : pad_token_id_(encoder.pad_token_id) {
    const int64_t width = config.embedder.hidden_size;
    const auto add_table = [&](const char* name, int64_t entries, int64_t padding_row) {
      return register_module(name, std::make_shared<EmbeddingTable>(entries, width, padding_row));
    };
    word_embeddings_ = add_table("word_embeddings", config.vocab_size, pad_token_id_);
    position_embeddings_ = add_table("position_embeddings", encoder.max_positions, pad_token_id_);
    token_type_embeddings_ = add_table("token_type_embeddings", 1, -1);
    layer_norm_ = register_module(
        "LayerNorm", std::make_shared<NormLayer>(Norm::kLayerNorm, width, encoder.layer_norm_eps));
    dropout_ = register_module("dropout", std::make_shared<Dropout>(encoder.dropout));
  }

  // A token's position counts the tokens before it that are not `pad_token_id`, whatever the mask.
  torch::Tensor Forward(const torch::Tensor& ids) const {
    const torch::Tensor counted = ids.ne(pad_token_id_).to(torch::kInt64);
    const torch::Tensor positions = counted.cumsum(1) * counted + pad_token_id_;
    const torch::Tensor sum =
        word_embeddings_->Forward(ids) +
        (position_embeddings_->Forward(positions) +
         token_type_embeddings_->Forward(torch::zeros({1, 1}, ids.options())));
    return dropout_->Forward(layer_norm_->Forward(sum));
  }

 private:
  int64_t pad_token_id_;
  std::shared_ptr<EmbeddingTable> word_embeddings_;
  std::shared_ptr<EmbeddingTable> position_embeddings_;
  std::shared_ptr<EmbeddingTable> token_type_embeddings_;
  std::shared_ptr<NormLayer> layer_norm_;
  std::shared_ptr<Dropout> dropout_;
};

class RobertaEmbedder::Layer : public torch::nn::Module {
 public:
  Layer(int64_t width, const EncoderConfig& config, ComputeType compute) {
    const auto attention = register_module("attention", std::make_shared<torch::nn::Module>());
    attention_ =
        attention->register_module("self", std::make_shared<SelfAttention>(width, config, compute));
    attention_output_ = attention->register_module(
        "output", std::make_shared<SublayerOutput>(width, width, config, compute));
    intermediate_ = register_module("intermediate", std::make_shared<torch::nn::Module>())
                        ->register_module("dense", std::make_shared<LinearLayer>(
                                                       width, config.intermediate_size, compute));
    output_ = register_module("output", std::make_shared<SublayerOutput>(config.intermediate_size,
                                                                         width, config, compute));
  }

  torch::Tensor Forward(const torch::Tensor& x, const torch::Tensor& mask) const {
    const torch::Tensor attended = attention_output_->Forward(attention_->Forward(x, mask), x);
    return output_->Forward(torch::gelu(intermediate_->Forward(attended)), attended);
  }

 private:
  std::shared_ptr<SelfAttention> attention_;
  std::shared_ptr<SublayerOutput> attention_output_;
  std::shared_ptr<LinearLayer> intermediate_;
  std::shared_ptr<SublayerOutput> output_;
};

RobertaEmbedder::RobertaEmbedder(const ModelConfig& config, ComputeType compute)
    : config_(config.embedder.encoder) {
  const int64_t width = config.embedder.hidden_size;
  embeddings_ = register_module("embeddings", std::make_shared<Embeddings>(config, config_));
  const auto list = register_module("encoder", std::make_shared<torch::nn::Module>())
                        ->register_module("layer", std::make_shared<torch::nn::Module>());
  for (int64_t i = 0; i < config_.num_layers; ++i) {
    layers_.push_back(
        list->register_module(std::to_string(i), std::make_shared<Layer>(width, config_, compute)));
  }
  projection_layer_ =
      register_module("projection_layer",
                      std::make_shared<LinearLayer>(width, config.decoder.hidden_size,
                                                    /*bias=*/true, config.NumPooled(), compute));
}

torch::Tensor RobertaEmbedder::Forward(const torch::Tensor& ids, const torch::Tensor& mask) const {
  const int64_t blocks = ids.size(0);
  const int64_t num_cls = config_.num_cls_tokens;
  const torch::Tensor cls = torch::full({blocks, num_cls}, config_.cls_token_id, ids.options());
  const torch::Tensor seen = torch::cat({torch::ones_like(cls, mask.options()), mask}, 1);
  torch::Tensor hidden = embeddings_->Forward(torch::cat({cls, ids}, 1));
  for (const auto& layer : layers_) hidden = layer->Forward(hidden, seen);
  const torch::Tensor pooled = num_cls > 0 ? hidden.narrow(1, 0, num_cls) : hidden;
  return projection_layer_->Forward(pooled.transpose(1, 2).flatten(1));
}

}  // namespace blockformer::train
