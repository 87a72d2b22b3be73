#include "train/block_model.h"

#include "base/error.h"
#include "train/loss.h"

namespace blockformer {

LookupEmbedder::LookupEmbedder(const ModelConfig& config, ComputeType compute)
    : projection_(config.embedder.projection) {
  const int64_t width = config.embedder.hidden_size;
  embeddings_ =
      register_module("embeddings", std::make_shared<EmbeddingTable>(config.vocab_size, width));
  if (projection_ == EmbedderProjection::kConv1d) {
    projection_layer_ =
        register_module("projection_layer",
                        std::make_shared<LinearLayer>(width, config.decoder.hidden_size,
                                                      /*bias=*/true, config.block_length, compute));
  }
}

torch::Tensor LookupEmbedder::Forward(const torch::Tensor& ids) const {
  const torch::Tensor tokens = embeddings_->Forward(ids);  // [..., L, width]
  switch (projection_) {
    case EmbedderProjection::kConcat:
      return tokens.flatten(-2);
    case EmbedderProjection::kSum:
      return tokens.sum(-2);
    case EmbedderProjection::kMean:
      return tokens.mean(-2);
    case EmbedderProjection::kConv1d:
      return projection_layer_->Forward(tokens.transpose(-2, -1).flatten(-2));
  }
  Fail(ErrorCode::kInternal, "unknown embedder projection");
}

// The blocks that are predicted, and the tokens of them that count.
struct BlockModel::Targets {
  torch::Tensor hidden;  // f32 [kept tokens, width]: what predicts each token
  torch::Tensor index;   // i64 [kept tokens]: its place in [batch, N - 1, L]
};

BlockModel::BlockModel(const ModelConfig& config, ComputeType compute)
    : LanguageModel(config), compute_(compute) {
  embedder_ = register_module("embedder", std::make_shared<LookupEmbedder>(config, compute));
  block_decoder_ =
      register_module("block_decoder", std::make_shared<torch::nn::Module>())
          ->register_module("gpt_neox", std::make_shared<NeoxStack>(config.decoder, compute));
  token_decoder_ =
      register_module("token_decoder", std::make_shared<TokenDecoder>(config, compute));
}

torch::Tensor BlockModel::DecodeBlocks(const torch::Tensor& ids, const torch::Tensor& mask) const {
  StackContext context;
  context.positions = torch::arange(ids.size(1), ids.options().dtype(torch::kInt64));
  context.mask = mask.any(-1);
  context.padding_queries = padding_queries();
  return block_decoder_->Forward(EmbedBlocks(ids), context);
}

BlockModel::Targets BlockModel::DecodeTargets(const torch::Tensor& ids, const torch::Tensor& mask,
                                              bool keep_empty_blocks) const {
  const int64_t blocks = ids.size(1) - 1;
  const int64_t length = ids.size(2);
  // The last block predicts nothing.
  const torch::Tensor context =
      DecodeBlocks(ids.narrow(1, 0, blocks), mask.narrow(1, 0, blocks)).flatten(0, 1);
  const torch::Tensor target_ids = ids.narrow(1, 1, blocks).reshape({-1, length});
  const torch::Tensor target_mask = mask.narrow(1, 1, blocks).reshape({-1, length});
  const torch::Tensor predicted =
      keep_empty_blocks ? torch::ones_like(target_mask.select(1, 0)) : target_mask.any(-1);
  const torch::Tensor selected = predicted.nonzero().squeeze(1);
  const torch::Tensor hidden = token_decoder_->Forward(context.index_select(0, selected),
                                                       target_ids.index_select(0, selected),
                                                       target_mask.index_select(0, selected));
  const torch::Tensor kept =
      ((target_ids != config().pad_token_id) | target_mask).index_select(0, selected);
  const torch::Tensor kept_rows = kept.flatten().nonzero().squeeze(1);
  const torch::Tensor index =
      (selected.unsqueeze(1) * length + torch::arange(length, selected.options())).flatten();
  return {hidden.flatten(0, 1).index_select(0, kept_rows), index.index_select(0, kept_rows)};
}

torch::Tensor BlockModel::Logits(const torch::Tensor& ids, const torch::Tensor& mask,
                                 bool keep_empty_blocks) const {
  const Targets targets = DecodeTargets(ids, mask, keep_empty_blocks);
  const torch::Tensor kept = token_decoder_->Logits(targets.hidden);
  const int64_t blocks = ids.size(1) - 1;
  const torch::Tensor all =
      torch::zeros({ids.size(0) * blocks * ids.size(2), kept.size(1)}, kept.options());
  return all.index_copy(0, targets.index, kept)
      .view({ids.size(0), blocks, ids.size(2), kept.size(1)});
}

TokenLoss BlockModel::Loss(const TokenBatch& batch) {
  const int64_t length = config().block_length;
  Require(batch.ids.dim() == 2 && batch.ids.size(1) % length == 0 && batch.ids.size(1) > length,
          ErrorCode::kInvalidArgument,
          "a sample of {} tokens does not fit block_length {}: two or more whole blocks are wanted",
          batch.ids.size(-1), length);
  const torch::Tensor ids = batch.ids.unflatten(1, {-1, length});
  const torch::Tensor mask = batch.mask.to(torch::kBool).unflatten(1, {-1, length});
  const Targets targets = DecodeTargets(ids, mask, /*keep_empty_blocks=*/false);
  const torch::Tensor labels = batch.labels.slice(1, length).flatten();
  const HeadLoss loss = SoftmaxHeadLoss(targets.hidden, token_decoder_->head(),
                                        labels.index_select(0, targets.index), compute_);
  // Spread out and summed by column, which unlike index_add is deterministic on every device.
  const auto f64 = loss.rows.options().dtype(torch::kFloat64);
  const torch::Tensor by_token = torch::zeros({labels.size(0)}, f64);
  const torch::Tensor counts = torch::zeros({labels.size(0)}, labels.options());
  TokenLoss result;
  result.sum = loss.sum;
  result.count = torch::scalar_tensor(targets.index.size(0), labels.options());
  result.sum_by_position = by_token.index_copy(0, targets.index, loss.rows.to(torch::kFloat64))
                               .view({-1, length})
                               .sum(0);
  result.count_by_position = counts.index_fill(0, targets.index, 1).view({-1, length}).sum(0);
  return result;
}

}  // namespace blockformer
