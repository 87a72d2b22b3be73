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

}  // namespace

RobertaEncoder::RobertaEncoder(const ModelConfig& config, const ReadWeights& read)
    : config_(config.embedder.encoder),
      width_(config.embedder.hidden_size),
      block_length_(config.block_length),
      positions_(config_.num_cls_tokens + block_length_),
      words_(read("embedder.embeddings.word_embeddings.weight")),
      position_embeddings_(ReadPositions(read)),
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

const float* RobertaEncoder::Encode(const int32_t* ids, const uint8_t* mask, int64_t blocks,
                                    RobertaState* state) const {
  Reserve(blocks, state);
  EmbedTokens(ids, blocks, state->x_.data());
  Norm(embedding_norm_, blocks * positions_, state->x_.data());
  DescribeRows(mask, blocks, state);
  for (size_t i = 0; i < layers_.size(); ++i) {
    RunLayer(layers_[i], i + 1 == layers_.size(), blocks, state);
  }
  return state->x_.data();
}

void RobertaEncoder::Reserve(int64_t blocks, RobertaState* state) const {
  const size_t rows = blocks * positions_;
  state->x_.resize(rows * width_);
  state->qkv_.resize(rows * 3 * width_);
  state->attention_.resize(rows * width_);
  state->inner_.resize(rows * config_.intermediate_size);
  if (static_cast<int64_t>(state->pages_.size()) >= blocks) return;
  const KvShape one_layer = {1, config_.num_heads, width_ / config_.num_heads};
  state->cache_.emplace(one_layer, blocks, PageSizeFor(positions_));
  state->pages_.resize(blocks);
  std::iota(state->pages_.begin(), state->pages_.end(), 0);
}

void RobertaEncoder::EmbedTokens(const int32_t* ids, int64_t blocks, float* x) const {
  const int64_t pad_id = config_.pad_token_id;
  for (int64_t block = 0; block < blocks; ++block) {
    int64_t tokens = 0;  // that are not the padding id, so far
    for (int64_t p = 0; p < positions_; ++p, x += width_) {
      const int64_t t = p - config_.num_cls_tokens;
      const int64_t id = t < 0 ? config_.cls_token_id : ids[block * block_length_ + t];
      const int64_t position = id == pad_id ? pad_id : pad_id + ++tokens;
      const float* word = words_.data() + id * width_;
      const float* place = position_embeddings_.data() + position * width_;
      for (int64_t d = 0; d < width_; ++d) x[d] = word[d] + place[d];
    }
  }
}

void RobertaEncoder::DescribeRows(const uint8_t* mask, int64_t blocks, RobertaState* state) const {
  state->mask_.assign(blocks * positions_, 1);
  state->store_rows_.clear();
  state->query_rows_.clear();
  for (int64_t block = 0; block < blocks; ++block) {
    uint8_t* key_mask = state->mask_.data() + block * positions_;
    if (mask != nullptr) {
      std::copy_n(mask + block * block_length_, block_length_, key_mask + config_.num_cls_tokens);
    }
    const int32_t* page = &state->pages_[block];
    const bool blind = SeesNothing(*state, block);
    for (int64_t p = 0; p < positions_; ++p) {
      state->store_rows_.push_back({page, p, 0, nullptr, true});
      state->query_rows_.push_back({page, positions_ - 1, 0, blind ? nullptr : key_mask, true});
    }
  }
}

bool RobertaEncoder::SeesNothing(const RobertaState& state, int64_t block) const {
  const uint8_t* mask = state.mask_.data() + block * positions_;
  return std::all_of(mask, mask + positions_, [](uint8_t value) { return value == 0; });
}

// In the published implementation a block without visible tokens attends to all of them with equal
// weights. Queries of zeros do so.
void RobertaEncoder::ZeroBlindQueries(int64_t blocks, RobertaState* state) const {
  const int64_t head_size = width_ / config_.num_heads;
  for (int64_t block = 0; block < blocks; ++block) {
    if (!SeesNothing(*state, block)) continue;
    for (int64_t i = 0; i < positions_ * config_.num_heads; ++i) {
      const int64_t head = block * positions_ * config_.num_heads + i;
      std::fill_n(state->qkv_.data() + head * 3 * head_size, head_size, 0.0f);
    }
  }
}

int64_t RobertaEncoder::KeepClsRows(int64_t blocks, RobertaState* state) const {
  const int64_t kept = config_.num_cls_tokens;
  const auto keep = [&](int64_t width, auto* values) {
    for (int64_t block = 1; block < blocks; ++block) {
      const auto begin = values->begin() + block * positions_ * width;
      std::copy(begin, begin + kept * width, values->begin() + block * kept * width);
    }
  };
  keep(width_, &state->x_);
  keep(3 * width_, &state->qkv_);
  keep(1, &state->query_rows_);
  return blocks * kept;
}

void RobertaEncoder::RunLayer(const Layer& layer, bool last, int64_t blocks,
                              RobertaState* state) const {
  const KvPages& cache = state->cache_->Layer(0);
  const HeadLayout layout =
      HeadLayout::Grouped(config_.num_heads, config_.num_heads, width_ / config_.num_heads);
  int64_t rows = blocks * positions_;
  float* x = state->x_.data();
  layer.qkv.Apply(x, rows, Epilogue::kStore, state->qkv_.data());
  StoreKeysAndValues(cache, layout, nullptr, state->store_rows_.data(), rows, state->qkv_.data());
  ZeroBlindQueries(blocks, state);
  if (last && config_.num_cls_tokens > 0) rows = KeepClsRows(blocks, state);
  Attend(cache, ScaledAttention(layout), state->query_rows_.data(), rows, state->qkv_.data(),
         state->attention_.data());
  layer.dense.Apply(state->attention_.data(), rows, Epilogue::kAdd, x);
  Norm(layer.attention_norm, rows, x);
  layer.up.Apply(x, rows, Epilogue::kGelu, state->inner_.data());
  layer.down.Apply(state->inner_.data(), rows, Epilogue::kAdd, x);
  Norm(layer.output_norm, rows, x);
}

void RobertaEncoder::Norm(const NormWeights& weights, int64_t rows, float* x) const {
  LayerNorm(x, rows, width_, weights.gain.data(), weights.bias.data(),
            static_cast<float>(config_.layer_norm_eps), x);
}

}  // namespace blockformer
