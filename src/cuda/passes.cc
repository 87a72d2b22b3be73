#include "cuda/passes.h"

namespace blockformer::cuda {

DecoderPass::DecoderPass(const ModelWeights& weights, int64_t rows)
    : weights_(&weights),
      activations_(weights.decoder, weights.type, rows),
      x_(rows * weights.decoder.width) {
  if (!weights.embedder.convolution) return;
  pooled_ =
      Buffer(rows * weights.embedder.convolution->gemm.shape().in * ElementBytes(weights.type));
}

void DecoderPass::Embed(Stream* stream, const UnitIds& ids, int64_t rows) {
  const EmbedderWeights& embedder = weights_->embedder;
  const auto embed = [&](Element type, void* out) {
    EmbedUnits(stream, weights_->type, embedder.table.data(), embedder.width, ids, embedder.pool,
               rows, type, out);
  };
  if (!embedder.convolution) return embed(Element::kF32, x_.data());
  embed(weights_->type, pooled_.data());
  embedder.convolution->Run(stream, pooled_.data(), rows, x_.data());
}

const float* DecoderPass::Run(Stream* stream, const DecoderState& state, const DecoderRow* rows,
                              int64_t num_rows, const WantedRows& wanted) {
  const StackWeights& stack = weights_->decoder;
  const auto attend = [&](int64_t layer, bool last, void* qkv, void* out, int64_t out_stride) {
    const KvPages& cache = state.cache.Layer(layer);
    StoreKeysAndValues(stream, weights_->type, cache, stack.layout, state.rotary.table(),
                       state.tables, rows, num_rows, qkv);
    const bool some = last && wanted.rows != num_rows;
    if (some && wanted.rows == 0) return;
    AttendPages(stream, weights_->type, cache, stack.layout, state.tables, rows,
                some ? wanted.list : nullptr, some ? wanted.rows : num_rows, qkv, out, out_stride);
  };
  return RunLayers(stream, stack, weights_->type, num_rows, wanted, attend, x_.data(),
                   &activations_);
}

TokenPass::TokenPass(const ModelWeights& weights, int64_t unit_length, int64_t blocks,
                     int64_t count)
    : weights_(&weights), blocks_(blocks) {
  const TokenDecoderWeights& decoder = *weights.token_decoder;
  const StackWeights& stack = decoder.stack;
  positions_ = decoder.inputs.lead + unit_length - 1;
  activations_ = Activations(stack, weights.type, blocks * count);
  rotary_ = RotaryAngles(stack, positions_);
  const int64_t numbers = blocks * stack.layout.kv_heads * positions_ * 2 * stack.layout.head_size;
  for (int64_t i = 0; i < stack.num_layers(); ++i) {
    caches_.emplace_back(numbers * ElementBytes(weights.type));
  }
  const int64_t context_bytes = decoder.expansion ? ElementBytes(weights.type) : 4;
  contexts_ = Buffer(blocks * weights.decoder.width * context_bytes);
  vectors_ = Array<float>(blocks * decoder.inputs.vectors * stack.width);
  x_ = Array<float>(blocks * count * stack.width);
  if (decoder.expansion) return;
  std::vector<int32_t> repeated;
  for (int64_t i = 0; i < blocks * decoder.inputs.vectors; ++i) {
    repeated.push_back(static_cast<int32_t>(i / decoder.inputs.vectors));
  }
  repeated_ = Array<int32_t>(std::ssize(repeated));
  Stream stream;
  stream.CopyToDevice(repeated_.data(), repeated.data(), repeated_.size() * 4);
  stream.Wait();
}

void TokenPass::Begin(Stream* stream, const float* decoded, int64_t blocks) {
  const TokenDecoderWeights& decoder = *weights_->token_decoder;
  if (decoder.expansion) {
    FinalNorm(stream, weights_->decoder, decoded, blocks, weights_->type, contexts_.data());
    decoder.expansion->Run(stream, contexts_.data(), blocks, vectors_.data());
    return;
  }
  FinalNorm(stream, weights_->decoder, decoded, blocks, Element::kF32, contexts_.data());
  GatherRows(stream, static_cast<const float*>(contexts_.data()), blocks * decoder.inputs.vectors,
             weights_->decoder.width, repeated_.data(), 0, 0, vectors_.data());
}

const float* TokenPass::Run(Stream* stream, BlockStep step, const UnitIds& ids) {
  const TokenDecoderWeights& decoder = *weights_->token_decoder;
  TokenInputs inputs = decoder.inputs;
  inputs.first = step.first;
  inputs.count = step.count;
  EmbedTokens(stream, weights_->type, decoder.table.data(), inputs, vectors_.data(), ids,
              step.blocks, x_.data());
  step.positions = positions_;
  const auto attend = [&](int64_t layer, bool last, void* qkv, void* out, int64_t out_stride) {
    BlockStep layer_step = step;
    if (!last) layer_step.wanted = step.count;
    AttendInBlock(stream, weights_->type, caches_[layer].data(), decoder.stack.layout,
                  rotary_.table(), layer_step, qkv, out, out_stride);
  };
  const WantedRows wanted = {step.blocks * step.wanted, nullptr, step.count, step.wanted};
  return RunLayers(stream, decoder.stack, weights_->type, step.blocks * step.count, wanted, attend,
                   x_.data(), &activations_);
}

HeadPass::HeadPass(const ModelWeights& weights, int64_t rows, bool chooses)
    : weights_(&weights),
      stack_(weights.token_decoder ? &weights.token_decoder->stack : &weights.decoder),
      rows_(rows),
      hidden_(rows * stack_->width * ElementBytes(weights.type)),
      logits_(rows * weights.head.gemm.shape().out) {
  if (!chooses) return;
  changed_ = Array<float>(logits_.size());
  counts_ = Array<uint32_t>(logits_.size());
  Stream stream;
  stream.Fill(counts_.data(), 0, counts_.size() * static_cast<int64_t>(sizeof(uint32_t)));
  stream.Wait();
}

void HeadPass::Run(Stream* stream, const float* x, int64_t rows) {
  FinalNorm(stream, *stack_, x, rows, weights_->type, hidden_.data());
  weights_->head.Run(stream, hidden_.data(), rows, logits_.data());
}

}  // namespace blockformer::cuda
