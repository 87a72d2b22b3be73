#include "cpu/token_decoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/parallel.h"
#include "config/parameters.h"

namespace blockformer {
namespace {

constexpr int64_t kMinNumbersPerThread = 1 << 14;

bool HasT5(const ModelConfig& config) {
  return config.token_decoder_type == TokenDecoderType::kCrossAttention;
}

std::optional<PackedLinear> PackExpansion(const ModelConfig& config, const ReadWeights& read) {
  if (config.expansion == Expansion::kRepeat) return std::nullopt;
  return PackLinear(read, kExpansionLayer, config.prefix_length * config.TokenDecoderWidth(),
                    config.decoder.hidden_size);
}

std::string TableName(const ModelConfig& config) {
  return HasT5(config) ? kT5Table : TokenDecoderNames(config).Outer(Role::kTable) + ".weight";
}

}  // namespace

TokenDecoder::TokenDecoder(const ModelConfig& config, const ReadWeights& read)
    : config_(config),
      width_(config.TokenDecoderWidth()),
      lead_(config.token_decoder_type == TokenDecoderType::kPrefix ? config.prefix_length : 1),
      expansion_(PackExpansion(config, read)),
      table_(read, TableName(config), width_) {
  Require(num_positions() <= kMaxBlockPositions, ErrorCode::kUnsupported,
          "token_decoder: blocks of {} positions are too long; up to {} are possible",
          num_positions(), kMaxBlockPositions);
  if (HasT5(config)) {
    t5_.emplace(config.t5, config.block_length, read);
  } else {
    stack_.emplace(config.token_decoder, TokenDecoderNames(config), read);
  }
}

void TokenDecoder::Begin(const float* contexts, int64_t blocks, PositionRule rule,
                         TokenDecoderState* state) const {
  state->vectors_.resize(blocks * config_.prefix_length * width_);
  Expand(contexts, blocks, state->vectors_.data());
  if (stack_) {
    if (!state->stack_ || state->stack_->blocks() < blocks) {
      state->stack_.emplace(config_.token_decoder, blocks, num_positions());
    }
    state->rotary_positions_.clear();
    for (int64_t p = 0; p < num_positions(); ++p) {
      state->rotary_positions_.push_back(static_cast<int32_t>(RotaryPosition(p, rule)));
    }
    return;
  }
  if (static_cast<int64_t>(state->pages_.size()) < blocks) {
    state->t5_.emplace(config_.t5, blocks, PageSizeFor(num_positions()));
    state->pages_.resize(blocks);
    std::iota(state->pages_.begin(), state->pages_.end(), 0);
  }
  t5_->StoreVectors(state->vectors_.data(), blocks, state->pages_, &*state->t5_);
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
  const int32_t id = position < lead_ ? static_cast<int32_t>(config_.begin_token_id) : token;
  table_.Copy(&id, 1, x);
  if (config_.token_decoder_type != TokenDecoderType::kSummation) return;
  for (int64_t d = 0; d < width_; ++d) x[d] += vectors[position * width_ + d];
}

void TokenDecoder::RunStack(int64_t blocks, int64_t first, int64_t count, int64_t wanted,
                            bool is_masked, TokenDecoderState* state) const {
  float* x = state->x_.data();
  const uint8_t* key_mask = is_masked ? state->key_mask_.data() : nullptr;
  if (stack_) {
    stack_->Forward({blocks, first, count, wanted, state->rotary_positions_.data(), key_mask}, x,
                    &*state->stack_);
    return stack_->FinalNorm(x, blocks * wanted, x);
  }
  state->t5_rows_.clear();
  for (int64_t i = 0; i < blocks * count; ++i) {
    const int64_t block = i / count;
    state->t5_rows_.push_back({&state->pages_[block], first + i % count, 0,
                               is_masked ? key_mask + block * num_positions() : nullptr,
                               /*attends_if_masked=*/true});
  }
  t5_->Forward(state->t5_rows_, x, &*state->t5_);
  t5_->FinalNorm(x, blocks * count, x);
}

int64_t TokenDecoder::RotaryPosition(int64_t position, PositionRule rule) const {
  if (rule == PositionRule::kTrained) return position;
  return std::max<int64_t>(0, position - (lead_ - 1));
}

void TokenDecoder::Generate(const float* contexts, int64_t blocks, int64_t steps, PositionRule rule,
                            const ChooseTokens& choose, TokenDecoderState* state,
                            int32_t* ids) const {
  Begin(contexts, blocks, rule, state);
  std::vector<int32_t> chosen(blocks);
  for (int64_t step = 0; step < steps; ++step) {
    // The first step runs the lead, each later one the token chosen before it.
    const int64_t first = step == 0 ? 0 : lead_ + step - 1;
    const int64_t count = step == 0 ? lead_ : 1;
    state->x_.resize(blocks * count * width_);
    ParallelFor(blocks * count, kMinNumbersPerThread / width_ + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t block = i / count;
        WriteInput(state->vectors_.data() + block * config_.prefix_length * width_,
                   first + i % count, chosen[block], state->x_.data() + i * width_);
      }
    });
    RunStack(blocks, first, count, 1, /*is_masked=*/false, state);
    choose(step, state->x_.data(), chosen.data());
    for (int64_t i = 0; i < blocks; ++i) {
      ids[i * config_.block_length + step] = chosen[i];
    }
  }
}

const float* TokenDecoder::Score(const float* contexts, int64_t blocks, const int32_t* ids,
                                 const uint8_t* mask, TokenDecoderState* state) const {
  const int64_t length = config_.block_length;
  const int64_t positions = num_positions();  // the last token is never an input
  Begin(contexts, blocks, PositionRule::kTrained, state);
  state->x_.resize(blocks * positions * width_);
  state->key_mask_.assign(blocks * positions, 1);
  for (int64_t i = 0; i < blocks * positions; ++i) {
    const int64_t block = i / positions;
    const int64_t position = i % positions;
    const int64_t token = block * length + position - lead_;  // behind the lead
    const bool in_lead = position < lead_;
    if (!in_lead) state->key_mask_[i] = mask[token];
    WriteInput(state->vectors_.data() + block * config_.prefix_length * width_, position,
               in_lead ? 0 : ids[token], state->x_.data() + i * width_);
  }
  RunStack(blocks, 0, positions, length, /*is_masked=*/true, state);
  return state->x_.data();
}

}  // namespace blockformer
