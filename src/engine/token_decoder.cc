#include "engine/token_decoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "config/parameters.h"

namespace blockformer {
namespace {

bool HasT5(const ModelConfig& config) {
  return config.token_decoder_type == TokenDecoderType::kCrossAttention;
}

std::optional<PackedLinear> PackExpansion(const ModelConfig& config, const ReadWeights& read) {
  if (config.expansion == Expansion::kRepeat) return std::nullopt;
  return PackLinear(read, "token_decoder.expansion_layer",
                    config.prefix_length * config.TokenDecoderWidth(), config.decoder.hidden_size);
}

std::string TableName(const ModelConfig& config) {
  return HasT5(config) ? kT5Table : std::string(kTokenDecoderPrefix) + ".embed_in.weight";
}

PackedLinear PackHead(const ModelConfig& config, const ReadWeights& read) {
  const int64_t width = config.TokenDecoderWidth();
  if (!HasT5(config)) {
    return PackLinear(read, "token_decoder.embed_out", config.vocab_size, width, Bias::kAbsent);
  }
  // T5's head is its table, before which hidden states are divided by the root of their width.
  std::vector<float> table = read(kT5Table);
  const float scale = 1 / std::sqrt(static_cast<float>(width));
  for (float& value : table) value *= scale;
  return PackedLinear(table.data(), nullptr, config.vocab_size, width);
}

}  // namespace

TokenDecoder::TokenDecoder(const ModelConfig& config, const ReadWeights& read)
    : config_(config),
      width_(config.TokenDecoderWidth()),
      lead_(config.token_decoder_type == TokenDecoderType::kPrefix ? config.prefix_length : 1),
      expansion_(PackExpansion(config, read)),
      table_(read(TableName(config))),
      head_(PackHead(config, read)) {
  if (HasT5(config)) {
    t5_.emplace(config.t5, config.block_length, read);
  } else {
    neox_.emplace(config.token_decoder, kTokenDecoderPrefix, read);
  }
}

void TokenDecoder::Begin(const float* contexts, int64_t blocks, TokenDecoderState* state) const {
  if (static_cast<int64_t>(state->pages_.size()) < blocks) {
    const int64_t page_size = PageSizeFor(num_positions());
    if (t5_) {
      state->t5_.emplace(config_.t5, blocks, page_size);
    } else {
      state->neox_.emplace(config_.token_decoder, blocks, page_size, num_positions());
    }
    state->pages_.resize(static_cast<size_t>(blocks));
    std::iota(state->pages_.begin(), state->pages_.end(), 0);
  }
  state->vectors_.resize(static_cast<size_t>(blocks * config_.prefix_length * width_));
  Expand(contexts, blocks, state->vectors_.data());
  if (t5_) t5_->StoreVectors(state->vectors_.data(), blocks, state->pages_, &*state->t5_);
}

void TokenDecoder::Expand(const float* contexts, int64_t blocks, float* vectors) const {
  if (expansion_) return expansion_->Apply(contexts, blocks, Epilogue::kStore, vectors);
  for (int64_t i = 0; i < blocks * config_.prefix_length; ++i) {
    std::copy_n(contexts + i / config_.prefix_length * width_, width_, vectors + i * width_);
  }
}

void TokenDecoder::WriteInput(const float* vectors, int64_t position, int32_t token,
                              float* x) const {
  const bool is_prefix = config_.token_decoder_type == TokenDecoderType::kPrefix;
  if (is_prefix && position < lead_) {
    std::copy_n(vectors + position * width_, width_, x);
    return;
  }
  const int64_t id = position < lead_ ? config_.begin_token_id : token;
  std::copy_n(table_.data() + id * width_, width_, x);
  if (config_.token_decoder_type != TokenDecoderType::kSummation) return;
  for (int64_t d = 0; d < width_; ++d) x[d] += vectors[position * width_ + d];
}

void TokenDecoder::RunStack(TokenDecoderState* state) const {
  if (t5_) return t5_->Forward(state->rows_, state->x_.data(), &*state->t5_);
  neox_->Forward(state->rows_, state->x_.data(), &*state->neox_);
}

void TokenDecoder::ComputeLogits(int64_t rows, TokenDecoderState* state, float* logits) const {
  float* hidden = state->hidden_.data();
  if (t5_) {
    t5_->FinalNorm(hidden, rows, hidden);
  } else {
    neox_->FinalNorm(hidden, rows, hidden);
  }
  head_.Apply(hidden, rows, Epilogue::kStore, logits);
}

int64_t TokenDecoder::RotaryPosition(int64_t position, PositionRule rule) const {
  if (rule == PositionRule::kTrained) return position;
  return std::max<int64_t>(0, position - (lead_ - 1));
}

void TokenDecoder::Generate(const float* contexts, int64_t blocks, int64_t steps, PositionRule rule,
                            const ChooseTokens& choose, TokenDecoderState* state,
                            int32_t* ids) const {
  Begin(contexts, blocks, state);
  state->hidden_.resize(static_cast<size_t>(blocks * width_));
  state->logits_.resize(static_cast<size_t>(blocks * config_.vocab_size));
  std::vector<int32_t> chosen(static_cast<size_t>(blocks));
  for (int64_t step = 0; step < steps; ++step) {
    // The first step runs the lead, each later one the token chosen before it.
    const int64_t first = step == 0 ? 0 : lead_ + step - 1;
    const int64_t count = step == 0 ? lead_ : 1;
    state->x_.resize(static_cast<size_t>(blocks * count * width_));
    state->rows_.resize(static_cast<size_t>(blocks * count));
    for (int64_t i = 0; i < blocks * count; ++i) {
      const size_t block = static_cast<size_t>(i / count);
      const int64_t position = first + i % count;
      const float* vectors = state->vectors_.data() + i / count * config_.prefix_length * width_;
      WriteInput(vectors, position, chosen[block], state->x_.data() + i * width_);
      state->rows_[static_cast<size_t>(i)] = {&state->pages_[block], position,
                                              RotaryPosition(position, rule), nullptr, false};
    }
    RunStack(state);
    for (int64_t i = 0; i < blocks; ++i) {
      std::copy_n(state->x_.data() + (i * count + count - 1) * width_, width_,
                  state->hidden_.data() + i * width_);
    }
    ComputeLogits(blocks, state, state->logits_.data());
    choose(step, state->logits_.data(), chosen.data());
    for (int64_t i = 0; i < blocks; ++i) {
      ids[i * config_.block_length + step] = chosen[static_cast<size_t>(i)];
    }
  }
}

void TokenDecoder::Score(const float* contexts, int64_t blocks, const int32_t* ids,
                         const uint8_t* mask, TokenDecoderState* state, float* logits) const {
  const int64_t length = config_.block_length;
  const int64_t positions = num_positions();  // the last token is never an input
  Begin(contexts, blocks, state);
  state->x_.resize(static_cast<size_t>(blocks * positions * width_));
  state->rows_.resize(static_cast<size_t>(blocks * positions));
  state->hidden_.resize(static_cast<size_t>(blocks * length * width_));
  std::vector<uint8_t> key_mask(static_cast<size_t>(blocks * positions), 1);
  for (int64_t i = 0; i < blocks * positions; ++i) {
    const int64_t block = i / positions;
    const int64_t position = i % positions;
    const int64_t token = block * length + position - lead_;  // behind the lead
    const bool in_lead = position < lead_;
    if (!in_lead) key_mask[static_cast<size_t>(i)] = mask[token];
    WriteInput(state->vectors_.data() + block * config_.prefix_length * width_, position,
               in_lead ? 0 : ids[token], state->x_.data() + i * width_);
    state->rows_[static_cast<size_t>(i)] = {&state->pages_[static_cast<size_t>(block)], position,
                                            position, key_mask.data() + block * positions,
                                            /*attends_if_masked=*/true};
  }
  RunStack(state);
  for (int64_t block = 0; block < blocks; ++block) {
    std::copy_n(state->x_.data() + (block * positions + lead_ - 1) * width_, length * width_,
                state->hidden_.data() + block * length * width_);
  }
  ComputeLogits(blocks * length, state, logits);
}

}  // namespace blockformer
