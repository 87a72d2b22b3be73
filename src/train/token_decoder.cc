#include "train/token_decoder.h"

namespace blockformer {

TokenDecoder::TokenDecoder(const ModelConfig& config, ComputeType compute)
    : prefix_length_(config.prefix_length) {
  const int64_t width = config.token_decoder.hidden_size;
  if (config.expansion == Expansion::kLayer) {
    expansion_layer_ = register_module(
        "expansion_layer",
        std::make_shared<LinearLayer>(config.decoder.hidden_size, width * prefix_length_,
                                      /*bias=*/true, /*kernel=*/1, compute));
  }
  stack_ = register_module("gpt_neox", std::make_shared<NeoxStack>(config.token_decoder, compute));
  embed_in_ = stack_->register_module("embed_in",
                                      std::make_shared<EmbeddingTable>(config.vocab_size, width));
  embed_out_ = register_module(
      "embed_out", std::make_shared<LinearLayer>(width, config.vocab_size, /*bias=*/false,
                                                 /*kernel=*/0, compute));
}

torch::Tensor TokenDecoder::Prefix(const torch::Tensor& context) const {
  if (expansion_layer_ == nullptr) {
    return context.unsqueeze(1).expand({-1, prefix_length_, -1});
  }
  const torch::Tensor expanded = expansion_layer_->Forward(context);
  return expanded.view({context.size(0), prefix_length_, expanded.size(1) / prefix_length_});
}

torch::Tensor TokenDecoder::Forward(const torch::Tensor& context, const torch::Tensor& ids,
                                    const torch::Tensor& mask) const {
  const int64_t inputs = ids.size(1) - 1;  // the last token is only a target
  StackContext stack_context;
  stack_context.positions =
      torch::arange(prefix_length_ + inputs, ids.options().dtype(torch::kInt64));
  stack_context.mask = torch::cat(
      {torch::ones({mask.size(0), prefix_length_}, mask.options()), mask.narrow(1, 0, inputs)}, 1);
  // A padded token's row still predicts the next one, from what it sees: the prefix at least.
  stack_context.padding_queries = PaddingQueries::kAttend;
  stack_context.first_output = prefix_length_ - 1;
  return stack_->Forward(torch::cat({Prefix(context), Embed(ids.narrow(1, 0, inputs))}, 1),
                         stack_context);
}

}  // namespace blockformer
