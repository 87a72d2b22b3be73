#include "engine/token_decoder.h"

#include <algorithm>

#include "config/parameters.h"

namespace blockformer {
namespace {

constexpr int64_t kPageMultiple = 8;  // attention wants pages of whole vectors

std::optional<PackedLinear> PackExpansion(const ModelConfig& config, const ReadWeights& read) {
  if (config.expansion == Expansion::kRepeat) return std::nullopt;
  return PackLinear(read, "token_decoder.expansion_layer",
                    config.prefix_length * config.token_decoder.hidden_size,
                    config.decoder.hidden_size);
}

}  // namespace

void TokenDecoderState::Reserve(int64_t blocks) {
  if (static_cast<int64_t>(pages_.size()) >= blocks) return;
  const int64_t positions = config_.prefix_length + config_.block_length - 1;
  const int64_t page_size = (positions + kPageMultiple - 1) / kPageMultiple * kPageMultiple;
  stack_.emplace(config_.token_decoder, blocks, page_size, positions);
  pages_.clear();
  stack_->cache.Take(blocks, &pages_);
}

TokenDecoder::TokenDecoder(const ModelConfig& config, const ReadWeights& read)
    : config_(config),
      width_(config.token_decoder.hidden_size),
      expansion_(PackExpansion(config, read)),
      table_(read(std::string(kTokenDecoderPrefix) + ".embed_in.weight")),
      stack_(config.token_decoder, kTokenDecoderPrefix, read),
      head_(PackLinear(read, "token_decoder.embed_out", config.vocab_size, width_, Bias::kAbsent)) {
}

void TokenDecoder::Expand(const float* contexts, int64_t blocks, float* prefix) const {
  if (expansion_) return expansion_->Apply(contexts, blocks, Epilogue::kStore, prefix);
  for (int64_t i = 0; i < blocks * config_.prefix_length; ++i) {
    std::copy_n(contexts + i / config_.prefix_length * width_, width_, prefix + i * width_);
  }
}

int64_t TokenDecoder::RotaryPosition(int64_t position, PositionRule rule) const {
  if (rule == PositionRule::kTrained) return position;
  return std::max<int64_t>(0, position - (config_.prefix_length - 1));
}

void TokenDecoder::Generate(const float* contexts, int64_t blocks, int64_t steps, PositionRule rule,
                            const ChooseTokens& choose, TokenDecoderState* state,
                            int32_t* ids) const {
  const int64_t prefix = config_.prefix_length;
  const int64_t length = config_.block_length;
  state->Reserve(blocks);
  state->x_.resize(static_cast<size_t>(blocks * prefix * width_));
  state->last_.resize(static_cast<size_t>(blocks * width_));
  state->logits_.resize(static_cast<size_t>(blocks * config_.vocab_size));
  Expand(contexts, blocks, state->x_.data());

  std::vector<int32_t> chosen(static_cast<size_t>(blocks));
  for (int64_t step = 0; step < steps; ++step) {
    // The first step runs the prefix vectors, each later one the token chosen before it.
    const int64_t first = step == 0 ? 0 : prefix + step - 1;
    const int64_t count = step == 0 ? prefix : 1;
    if (step > 0) {
      for (int64_t i = 0; i < blocks; ++i) {
        std::copy_n(Row(chosen[static_cast<size_t>(i)]), width_, state->x_.data() + i * width_);
      }
    }
    state->rows_.resize(static_cast<size_t>(blocks * count));
    for (int64_t i = 0; i < blocks * count; ++i) {
      const int64_t position = first + i % count;
      state->rows_[static_cast<size_t>(i)] = {&state->pages_[static_cast<size_t>(i / count)],
                                              position, RotaryPosition(position, rule), nullptr,
                                              false};
    }
    stack_.Forward(state->rows_, state->x_.data(), &*state->stack_);
    for (int64_t i = 0; i < blocks; ++i) {
      std::copy_n(state->x_.data() + (i * count + count - 1) * width_, width_,
                  state->last_.data() + i * width_);
    }
    stack_.FinalNorm(state->last_.data(), blocks, state->last_.data());
    head_.Apply(state->last_.data(), blocks, Epilogue::kStore, state->logits_.data());
    choose(step, state->logits_.data(), chosen.data());
    for (int64_t i = 0; i < blocks; ++i) ids[i * length + step] = chosen[static_cast<size_t>(i)];
  }
}

void TokenDecoder::Score(const float* contexts, int64_t blocks, const int32_t* ids,
                         const uint8_t* mask, TokenDecoderState* state, float* logits) const {
  const int64_t prefix = config_.prefix_length;
  const int64_t length = config_.block_length;
  const int64_t positions = prefix + length - 1;  // the last token is never an input
  state->Reserve(blocks);
  std::vector<float> prefixes(static_cast<size_t>(blocks * prefix * width_));
  Expand(contexts, blocks, prefixes.data());
  state->x_.resize(static_cast<size_t>(blocks * positions * width_));
  state->rows_.resize(static_cast<size_t>(blocks * positions));
  std::vector<uint8_t> key_mask(static_cast<size_t>(blocks * positions), 1);
  for (int64_t i = 0; i < blocks; ++i) {
    float* x = state->x_.data() + i * positions * width_;
    std::copy_n(prefixes.data() + i * prefix * width_, prefix * width_, x);
    for (int64_t t = 0; t + 1 < length; ++t) {
      std::copy_n(Row(ids[i * length + t]), width_, x + (prefix + t) * width_);
      key_mask[static_cast<size_t>(i * positions + prefix + t)] = mask[i * length + t];
    }
    for (int64_t p = 0; p < positions; ++p) {
      state->rows_[static_cast<size_t>(i * positions + p)] = {
          &state->pages_[static_cast<size_t>(i)], p, p, key_mask.data() + i * positions,
          /*attends_if_masked=*/true};
    }
  }
  stack_.Forward(state->rows_, state->x_.data(), &*state->stack_);
  std::vector<float> hidden(static_cast<size_t>(blocks * length * width_));
  for (int64_t i = 0; i < blocks; ++i) {
    std::copy_n(state->x_.data() + (i * positions + prefix - 1) * width_, length * width_,
                hidden.data() + i * length * width_);
  }
  stack_.FinalNorm(hidden.data(), blocks * length, hidden.data());
  head_.Apply(hidden.data(), blocks * length, Epilogue::kStore, logits);
}

}  // namespace blockformer
