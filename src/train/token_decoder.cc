#include "train/token_decoder.h"

#include <cmath>

#include "train/registration.h"

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

torch::Tensor BeginTokens(const torch::Tensor& context, int64_t begin_token_id) {
  return torch::full({context.size(0)}, begin_token_id, context.options().dtype(torch::kInt64));
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
      block_length_(config.block_length),
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

class StackTokenDecoder::PrefixDecoding : public BlockDecoding {
 public:
  PrefixDecoding(const StackTokenDecoder& decoder, torch::Tensor prefix, bool published_positions)
      : decoder_(decoder),
        prefix_(std::move(prefix)),
        cache_(decoder.stack_->MakeCache(
            prefix_.size(0), prefix_.size(1) + decoder.block_length_ - 1, prefix_.device())) {
    const auto options = PositionOptions(prefix_);
    context_.positions = published_positions ? torch::zeros({prefix_.size(1)}, options)
                                             : torch::arange(prefix_.size(1), options);
    context_.first_output = prefix_.size(1) - 1;
    context_.cache = &cache_;
  }

  torch::Tensor Next(const torch::Tensor& previous) override {
    const torch::Tensor input =
        previous.defined() ? decoder_.vocabulary_.Embed(previous).unsqueeze(1) : prefix_;
    const torch::Tensor hidden = decoder_.stack_->Forward(input, context_).squeeze(1);
    context_.positions = context_.positions.slice(0, -1) + 1;
    context_.first_output = 0;
    return hidden;
  }

 private:
  const StackTokenDecoder& decoder_;
  torch::Tensor prefix_;
  KvCache cache_;
  StackContext context_;
};

class StackTokenDecoder::SummationDecoding : public BlockDecoding {
 public:
  SummationDecoding(const StackTokenDecoder& decoder, torch::Tensor vectors)
      : decoder_(decoder),
        vectors_(std::move(vectors)),
        cache_(decoder.stack_->MakeCache(vectors_.size(0), vectors_.size(1), vectors_.device())) {}

  torch::Tensor Next(const torch::Tensor& previous) override {
    const int64_t position = cache_.length();
    const torch::Tensor ids =
        previous.defined() ? previous : BeginTokens(vectors_, decoder_.begin_token_id_);
    StackContext context;
    context.positions = torch::full({1}, position, PositionOptions(vectors_));
    context.cache = &cache_;
    const torch::Tensor input = decoder_.vocabulary_.Embed(ids) + vectors_.select(1, position);
    return decoder_.stack_->Forward(input.unsqueeze(1), context).squeeze(1);
  }

 private:
  const StackTokenDecoder& decoder_;
  torch::Tensor vectors_;
  KvCache cache_;
};

std::unique_ptr<BlockDecoding> StackTokenDecoder::Begin(const torch::Tensor& context,
                                                        bool published_positions) const {
  if (type_ == TokenDecoderType::kPrefix) {
    return std::make_unique<PrefixDecoding>(*this, Expand(context), published_positions);
  }
  return std::make_unique<SummationDecoding>(*this, Expand(context));
}

T5TokenDecoder::T5TokenDecoder(const ModelConfig& config, ComputeType compute)
    : TokenDecoder(config, compute),
      block_length_(config.block_length),
      begin_token_id_(config.begin_token_id),
      head_scale_(1 / std::sqrt(static_cast<double>(config.t5.hidden_size))),
      shared_(register_module(
          "shared", std::make_shared<EmbeddingTable>(config.vocab_size, config.t5.hidden_size))),
      decoder_(register_module("decoder", std::make_shared<T5Decoder>(config.t5, compute))) {}

torch::Tensor T5TokenDecoder::Forward(const torch::Tensor& context, const torch::Tensor& ids,
                                      const torch::Tensor& mask) const {
  const torch::Tensor input = shared_->Forward(ShiftedIds(ids, begin_token_id_));
  return decoder_->Forward(input, decoder_->MakeCrossKeys(Expand(context)), ShiftedMask(mask, 1),
                           /*cache=*/nullptr) *
         head_scale_;
}

class T5TokenDecoder::Decoding : public BlockDecoding {
 public:
  Decoding(const T5TokenDecoder& decoder, const torch::Tensor& vectors)
      : decoder_(decoder),
        previous_(BeginTokens(vectors, decoder.begin_token_id_)),
        cross_(decoder.decoder_->MakeCrossKeys(vectors)),
        cache_(decoder.decoder_->MakeCache(vectors.size(0), decoder.block_length_,
                                           vectors.device())) {}

  torch::Tensor Next(const torch::Tensor& previous) override {
    if (previous.defined()) previous_ = previous;
    const torch::Tensor input = decoder_.shared_->Forward(previous_).unsqueeze(1);
    return decoder_.decoder_->Forward(input, cross_, /*mask=*/{}, &cache_).squeeze(1) *
           decoder_.head_scale_;
  }

 private:
  const T5TokenDecoder& decoder_;
  torch::Tensor previous_;
  T5Decoder::CrossKeys cross_;
  KvCache cache_;
};

std::unique_ptr<BlockDecoding> T5TokenDecoder::Begin(const torch::Tensor& context,
                                                     bool /*published_positions*/) const {
  return std::make_unique<Decoding>(*this, Expand(context));
}

std::shared_ptr<TokenDecoder> MakeTokenDecoder(const ModelConfig& config, ComputeType compute) {
  if (config.token_decoder_type == TokenDecoderType::kCrossAttention) {
    return std::make_shared<T5TokenDecoder>(config, compute);
  }
  return std::make_shared<StackTokenDecoder>(config, compute);
}

}  // namespace blockformer::train
