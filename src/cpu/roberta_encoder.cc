#include "cpu/roberta_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "kernels/layer_norm.h"

namespace blockformer {
namespace {

// Position embeddings [positions, width] with the one token type's embedding added to each.
std::vector<float> ReadPositions(const ReadWeights& read) {
  std::vector<float> positions = read("embedder.embeddings.position_embeddings.weight");
  const std::vector<float> type = read("embedder.embeddings.token_type_embeddings.weight");
  for (size_t i = 0; i < positions.size(); ++i) positions[i] += type[i % type.size()];
  return positions;
}

bool SeesNothing(std::span<const uint8_t> mask) {
  return std::ranges::all_of(mask, [](uint8_t value) { return value == 0; });
}

}  // namespace

RobertaEncoder::RobertaEncoder(const ModelConfig& config, const ReadWeights& read)
    : config_(config.embedder.encoder),
      width_(config.embedder.hidden_size),
      pooled_(config.NumPooled()),
      positions_(config_.num_cls_tokens + config.block_length),
      words_(read("embedder.embeddings.word_embeddings.weight"), width_),
      position_embeddings_(ReadPositions(read), width_),
      embedding_norm_(ReadNorm(read, "embedder.embeddings.LayerNorm")) {
  const int64_t head_size = width_ / config_.num_heads;
  CheckHeadSize("embedder", head_size);
  for (int64_t i = 0; i < config_.num_layers; ++i) {
    const std::string name = fmt::format("embedder.encoder.layer.{}.", i);
    const std::string self = name + "attention.self.";
    layers_.push_back(
        {PackHeads(read, {self + "query", self + "key", self + "value"}, config_.num_heads,
                   head_size, width_),
         PackLinear(read, name + "attention.output.dense", width_, width_),
         ReadNorm(read, name + "attention.output.LayerNorm"),
         PackLinear(read, name + "intermediate.dense", config_.intermediate_size, width_),
         PackLinear(read, name + "output.dense", width_, config_.intermediate_size),
         ReadNorm(read, name + "output.LayerNorm")});
  }
}

MatrixView<const float> RobertaEncoder::Encode(MatrixView<const int32_t> ids,
                                               MatrixView<const uint8_t> mask,
                                               RobertaState* state) const {
  Reserve(ids.rows(), state);
  MatrixView<float> x = state->x_;
  EmbedTokens(ids, x);
  Norm(embedding_norm_, x);
  DescribeRows(mask, state);
  for (size_t i = 0; i < layers_.size(); ++i) {
    x = RunLayer(layers_[i], i + 1 == layers_.size(), x, state);
  }
  return x.Reshaped(ids.rows(), pooled_ * width_);
}

void RobertaEncoder::Reserve(int64_t blocks, RobertaState* state) const {
  const int64_t rows = blocks * positions_;
  state->mask_.Resize(blocks, positions_);
  state->x_.Resize(rows, width_);
  state->qkv_.Resize(rows, 3 * width_);
  state->attention_.Resize(rows, width_);
  state->inner_.Resize(rows, config_.intermediate_size);
  if (std::ssize(state->pages_) >= blocks) return;
  const KvShape one_layer = {1, config_.num_heads, width_ / config_.num_heads};
  state->cache_.emplace(one_layer, blocks, PageSizeFor(positions_));
  state->pages_.resize(blocks);
  std::iota(state->pages_.begin(), state->pages_.end(), 0);
}

void RobertaEncoder::EmbedTokens(MatrixView<const int32_t> ids, MatrixView<float> x) const {
  const int64_t pad_id = config_.pad_token_id;
  for (int64_t block = 0; block < ids.rows(); ++block) {
    int64_t tokens = 0;  // that are not the padding id, so far
    for (int64_t p = 0; p < positions_; ++p) {
      const int64_t t = p - config_.num_cls_tokens;
      const int64_t id = t < 0 ? config_.cls_token_id : ids.Row(block)[t];
      const int64_t position = id == pad_id ? pad_id : pad_id + ++tokens;
      const std::span<const float> word = words_.Row(id);
      const std::span<const float> place = position_embeddings_.Row(position);
      const std::span<float> sum = x.Row(block * positions_ + p);
      for (int64_t d = 0; d < width_; ++d) sum[d] = word[d] + place[d];
    }
  }
}

void RobertaEncoder::DescribeRows(MatrixView<const uint8_t> mask, RobertaState* state) const {
  std::ranges::fill(state->mask_.values(), uint8_t{1});
  state->store_rows_.clear();
  state->query_rows_.clear();
  for (int64_t block = 0; block < state->mask_.rows(); ++block) {
    const std::span<uint8_t> key_mask = state->mask_.Row(block);
    if (!mask.empty()) {
      std::ranges::copy(mask.Row(block), key_mask.begin() + config_.num_cls_tokens);
    }
    const int32_t* page = &state->pages_[block];
    const bool blind = SeesNothing(key_mask);
    for (int64_t p = 0; p < positions_; ++p) {
      state->store_rows_.push_back({page, p, 0, nullptr, true});
      state->query_rows_.push_back(
          {page, positions_ - 1, 0, blind ? nullptr : key_mask.data(), true});
    }
  }
}

// In the published implementation a block without visible tokens attends to all of them with equal
// weights. Queries of zeros do so.
void RobertaEncoder::ZeroBlindQueries(RobertaState* state) const {
  const int64_t head_size = width_ / config_.num_heads;
  const int64_t block_heads = positions_ * config_.num_heads;
  const MatrixView<float> heads(state->qkv_.values(), 3 * head_size);
  for (int64_t block = 0; block < state->mask_.rows(); ++block) {
    if (!SeesNothing(state->mask_.Row(block))) continue;
    for (int64_t i = 0; i < block_heads; ++i) {
      std::ranges::fill(heads.Row(block * block_heads + i).first(head_size), 0.0F);
    }
  }
}

MatrixView<float> RobertaEncoder::KeepClsRows(MatrixView<float> x, RobertaState* state) const {
  std::vector<int64_t> kept;
  for (int64_t row = 0; row < x.rows(); ++row) {
    if (row % positions_ < config_.num_cls_tokens) kept.push_back(row);
  }
  KeepRows(state->qkv_.view(), kept);
  KeepRows(MatrixView<AttentionRow>(state->query_rows_, 1), kept);
  return KeepRows(x, kept);
}

MatrixView<float> RobertaEncoder::RunLayer(const Layer& layer, bool last, MatrixView<float> x,
                                           RobertaState* state) const {
  const KvPages& cache = state->cache_->Layer(0);
  const HeadLayout layout =
      HeadLayout::Grouped(config_.num_heads, config_.num_heads, width_ / config_.num_heads);
  Matrix<float>& qkv = state->qkv_;
  layer.qkv.Apply(x, Epilogue::kStore, qkv);
  StoreKeysAndValues(cache, layout, nullptr, state->store_rows_.data(), qkv.rows(), qkv.data());
  ZeroBlindQueries(state);
  if (last && config_.num_cls_tokens > 0) x = KeepClsRows(x, state);
  const MatrixView<float> attention = state->attention_.Rows(0, x.rows());
  Attend(cache, ScaledAttention(layout), state->query_rows_.data(), x.rows(), qkv.data(),
         attention.data());
  layer.dense.Apply(attention, Epilogue::kAdd, x);
  Norm(layer.attention_norm, x);
  const MatrixView<float> inner = state->inner_.Rows(0, x.rows());
  layer.up.Apply(x, Epilogue::kGelu, inner);
  layer.down.Apply(inner, Epilogue::kAdd, x);
  Norm(layer.output_norm, x);
  return x;
}

void RobertaEncoder::Norm(const NormWeights& weights, MatrixView<float> x) const {
  LayerNorm(x.data(), x.rows(), x.columns(), weights.gain.data(), weights.bias.data(),
            static_cast<float>(config_.layer_norm_eps), x.data());
}

}  // namespace blockformer
