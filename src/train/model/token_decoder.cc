#include "train/model/token_decoder.h"

#include <cmath>

#include "train/model/registration.h"

namespace blockformer::train {
namespace {

// The begin token and all but the last of `ids`, which is only a target.
torch::Tensor ShiftedIds(const torch::Tensor& ids, int64_t begin_token_id) {
  return torch::cat({torch::full({ids.size(0), 1}, begin_token_id, ids.options()),
                     ids.narrow(1, 0, ids.size(1) - 1)},
                    1);
}

// The mask of `visible` vectors or begin tokens, which all see, and of all tokens but the last.
torch::Tensor ShiftedMask(const torch::Tensor& mask, int64_t visible) {
  return torch::cat(
      {torch::ones({mask.size(0), visible}, mask.options()), mask.narrow(1, 0, mask.size(1) - 1)},
      1);
}

torch::TensorOptions PositionOptions(const torch::Tensor& x) {
  return torch::TensorOptions(torch::kInt64).device(x.device());
}

}  // namespace

TokenDecoder::TokenDecoder(const ModelConfig& config, ComputeType compute)
    : compute_(compute), num_vectors_(config.prefix_length) {
  if (config.expansion != Expansion::kLayer) return;
  expansion_layer_ = register_module(
      "expansion_layer", std::make_shared<LinearLayer>(config.decoder.hidden_size,
                                                       config.TokenDecoderWidth() * num_vectors_,
                                                       /*bias=*/true, /*kernel=*/1, compute));
}

torch::Tensor TokenDecoder::Expand(const torch::Tensor& context) const {
  if (expansion_layer_ == nullptr) {
    return context.unsqueeze(1).expand({-1, num_vectors_, -1});
  }
  return expansion_layer_->Forward(context).unflatten(1, {num_vectors_, -1});
}

StackTokenDecoder::StackTokenDecoder(const ModelConfig& config, ComputeType compute)
    : TokenDecoder(config, compute),
      type_(config.token_decoder_type),
      begin_token_id_(config.begin_token_id),
      stack_(RegisterAt(*this, StackNames(config.token_decoder, "").Body(),
                        std::make_shared<TransformerStack>(config.token_decoder, compute))),
      vocabulary_(*this, *stack_, config.token_decoder, config.vocab_size, compute) {}

torch::Tensor StackTokenDecoder::Forward(const torch::Tensor& context, const torch::Tensor& ids,
                                         const torch::Tensor& mask) const {
  return type_ == TokenDecoderType::kPrefix ? ForwardPrefix(context, ids, mask)
                                            : ForwardSummation(context, ids, mask);
}

torch::Tensor StackTokenDecoder::ForwardPrefix(const torch::Tensor& context,
                                               const torch::Tensor& ids,
                                               const torch::Tensor& mask) const {
  const torch::Tensor prefix = Expand(context);
  const int64_t length = prefix.size(1);
  const torch::Tensor tokens = vocabulary_.Embed(ids.narrow(1, 0, ids.size(1) - 1));
  const torch::Tensor input = torch::cat({prefix, tokens}, 1);
  StackContext stack;
  stack.positions = torch::arange(input.size(1), PositionOptions(input));
  stack.mask = ShiftedMask(mask, length);
  // A padded token's row still predicts the next one, from what it sees: the prefix at least.
  stack.padding_queries = PaddingQueries::kAttend;
  stack.first_output = length - 1;
  return stack_->Forward(input, stack);
}

torch::Tensor StackTokenDecoder::ForwardSummation(const torch::Tensor& context,
                                                  const torch::Tensor& ids,
                                                  const torch::Tensor& mask) const {
  const torch::Tensor input = vocabulary_.Embed(ShiftedIds(ids, begin_token_id_)) + Expand(context);
  StackContext stack;
  stack.positions = torch::arange(input.size(1), PositionOptions(input));
  stack.mask = ShiftedMask(mask, 1);
  stack.padding_queries = PaddingQueries::kAttend;
  return stack_->Forward(input, stack);
}

T5TokenDecoder::T5TokenDecoder(const ModelConfig& config, ComputeType compute)
    : TokenDecoder(config, compute),
      begin_token_id_(config.begin_token_id),
      head_scale_(1 / std::sqrt(static_cast<double>(config.t5.hidden_size))),
      shared_(register_module(
          "shared", std::make_shared<EmbeddingTable>(config.vocab_size, config.t5.hidden_size))),
      decoder_(register_module("decoder", std::make_shared<T5Decoder>(config.t5, compute))) {}

torch::Tensor T5TokenDecoder::Forward(const torch::Tensor& context, const torch::Tensor& ids,
                                      const torch::Tensor& mask) const {
  const torch::Tensor input = shared_->Forward(ShiftedIds(ids, begin_token_id_));
  return decoder_->Forward(input, decoder_->MakeCrossKeys(Expand(context)), ShiftedMask(mask, 1)) *
         head_scale_;
}

std::shared_ptr<TokenDecoder> MakeTokenDecoder(const ModelConfig& config, ComputeType compute) {
  if (config.token_decoder_type == TokenDecoderType::kCrossAttention) {
    return std::make_shared<T5TokenDecoder>(config, compute);
  }
  return std::make_shared<StackTokenDecoder>(config, compute);
}

}  // namespace blockformer::train
