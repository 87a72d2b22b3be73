#include "train/model/block_model.h"

#include "base/error.h"
#include "config/parameters.h"
#include "train/model/auxiliary_losses.h"
#include "train/model/loss.h"
#include "train/model/registration.h"

namespace blockformer::train {

// The blocks that are predicted.
struct BlockModel::Blocks {
  torch::Tensor index;    // i64 [blocks]: their place in [batch, N - 1], the first block left out
  torch::Tensor context;  // f32 [blocks, width]: what predicts each
  torch::Tensor ids;      // i64 [blocks, L]
  torch::Tensor mask;     // bool [blocks, L]
};

// The tokens of them that count.
struct BlockModel::Targets {
  torch::Tensor hidden;  // f32 [kept tokens, width]: what predicts each token
  torch::Tensor index;   // i64 [kept tokens]: its place in [batch, N - 1, L]
};

BlockModel::BlockModel(const ModelConfig& config, ComputeType compute)
    : LanguageModel(config), compute_(compute) {
  embedder_ = register_module("embedder", MakeEmbedder(config, compute));
  block_decoder_ = RegisterAt(*this, DecoderNames(config).Body(),
                              std::make_shared<TransformerStack>(config.decoder, compute));
  token_decoder_ = register_module("token_decoder", MakeTokenDecoder(config, compute));
}

torch::Tensor BlockModel::EmbedBlocks(const torch::Tensor& ids, const torch::Tensor& mask) const {
  return embedder_->Forward(ids.flatten(0, 1), mask.flatten(0, 1))
      .unflatten(0, {ids.size(0), ids.size(1)});
}

torch::Tensor BlockModel::DecodeBlocks(const torch::Tensor& embeddings,
                                       const torch::Tensor& mask) const {
  StackContext context;
  context.positions = torch::arange(mask.size(1), mask.options().dtype(torch::kInt64));
  context.mask = mask.any(-1);
  context.padding_queries = padding_queries();
  return block_decoder_->Forward(embeddings, context);
}

// The last block predicts nothing, so that its embedding may be left out.
BlockModel::Blocks BlockModel::PredictBlocks(const torch::Tensor& embeddings,
                                             const torch::Tensor& ids, const torch::Tensor& mask,
                                             bool keep_empty_blocks) const {
  const int64_t blocks = ids.size(1) - 1;
  const torch::Tensor context =
      DecodeBlocks(embeddings.narrow(1, 0, blocks), mask.narrow(1, 0, blocks)).flatten(0, 1);
  const torch::Tensor target_mask = mask.narrow(1, 1, blocks).reshape({-1, mask.size(2)});
  const torch::Tensor predicted =
      keep_empty_blocks ? torch::ones_like(target_mask.select(1, 0)) : target_mask.any(-1);
  const torch::Tensor index = predicted.nonzero().squeeze(1);
  const torch::Tensor target_ids = ids.narrow(1, 1, blocks).reshape({-1, ids.size(2)});
  return {index, context.index_select(0, index), target_ids.index_select(0, index),
          target_mask.index_select(0, index)};
}

// `context` f32 [blocks, width] is what the token decoder is told of each block.
BlockModel::Targets BlockModel::DecodeTargets(const torch::Tensor& context,
                                              const Blocks& blocks) const {
  const int64_t length = blocks.ids.size(1);
  const torch::Tensor hidden = token_decoder_->Forward(context, blocks.ids, blocks.mask);
  const torch::Tensor kept = (blocks.ids != config().pad_token_id) | blocks.mask;
  const torch::Tensor kept_rows = kept.flatten().nonzero().squeeze(1);
  const torch::Tensor index =
      (blocks.index.unsqueeze(1) * length + torch::arange(length, blocks.index.options()))
          .flatten();
  return {hidden.flatten(0, 1).index_select(0, kept_rows), index.index_select(0, kept_rows)};
}

torch::Tensor BlockModel::Logits(const torch::Tensor& ids, const torch::Tensor& mask,
                                 bool keep_empty_blocks) const {
  const Blocks predicted = PredictBlocks(EmbedBlocks(ids, mask), ids, mask, keep_empty_blocks);
  const Targets targets = DecodeTargets(predicted.context, predicted);
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
  const bool compare = is_training() && auxiliary_losses().Any();  // with the blocks' embeddings
  const int64_t embedded = ids.size(1) - (compare ? 0 : 1);
  const torch::Tensor embeddings =
      EmbedBlocks(ids.narrow(1, 0, embedded), mask.narrow(1, 0, embedded));
  const Blocks blocks = PredictBlocks(embeddings, ids, mask, /*keep_empty_blocks=*/false);
  const Targets targets = DecodeTargets(blocks.context, blocks);
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
  if (compare) AddAuxiliaryLosses(embeddings, blocks, labels, &result);
  return result;
}

void BlockModel::AddAuxiliaryLosses(const torch::Tensor& embeddings, const Blocks& blocks,
                                    const torch::Tensor& labels, TokenLoss* result) const {
  const AuxiliaryLosses& wanted = auxiliary_losses();
  const torch::Tensor predicted_embeddings =
      embeddings.slice(1, 1).flatten(0, 1).index_select(0, blocks.index);
  if (wanted.block_decoding != BlockDecodingLoss::kNone) {
    result->block_decoding = BlockLoss(blocks.context, predicted_embeddings, wanted.block_decoding);
  }
  if (wanted.auto_encoding_weight > 0) {
    // The block itself in place of its prediction.
    const Targets targets = DecodeTargets(predicted_embeddings, blocks);
    const HeadLoss loss = SoftmaxHeadLoss(targets.hidden, token_decoder_->head(),
                                          labels.index_select(0, targets.index), compute_);
    result->auto_encoding = loss.sum / result->count.clamp_min(1);
  }
}

}  // namespace blockformer::train
