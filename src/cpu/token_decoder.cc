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

void TokenDecoder::Begin(MatrixView<const float> contexts, PositionRule rule,
                         TokenDecoderState* state) const {
  const int64_t blocks = contexts.rows();
  state->vectors_.Resize(blocks * config_.prefix_length, width_);
  Expand(contexts, state->vectors_);
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
  if (std::ssize(state->pages_) < blocks) {
    state->t5_.emplace(config_.t5, blocks, PageSizeFor(num_positions()));
    state->pages_.resize(blocks);
    std::iota(state->pages_.begin(), state->pages_.end(), 0);
  }
  t5_->StoreVectors(state->vectors_, state->pages_, &*state->t5_);
}

void TokenDecoder::Expand(MatrixView<const float> contexts, MatrixView<float> vectors) const {
  const int64_t length = config_.prefix_length;
  if (expansion_) {
    const MatrixView<float> expanded = vectors.Reshaped(contexts.rows(), length * width_);
    return expansion_->Apply(contexts, Epilogue::kStore, expanded);
  }
  for (int64_t i = 0; i < vectors.rows(); ++i) {
    std::ranges::copy(contexts.Row(i / length), vectors.Row(i).begin());
  }
}

void TokenDecoder::WriteInput(const TokenDecoderState& state, int64_t block, int64_t position,
                              int32_t token, std::span<float> x) const {
  const int64_t vector = block * config_.prefix_length + position;
  const bool in_lead = position < lead_;
  if (in_lead && config_.token_decoder_type == TokenDecoderType::kPrefix) {
    std::ranges::copy(state.vectors_.Row(vector), x.begin());
    return;
  }
  table_.CopyRow(in_lead ? static_cast<int32_t>(config_.begin_token_id) : token, x);
  if (config_.token_decoder_type != TokenDecoderType::kSummation) return;
  const std::span<const float> added = state.vectors_.Row(vector);
  for (int64_t d = 0; d < width_; ++d) x[d] += added[d];
}

MatrixView<const float> TokenDecoder::RunStack(int64_t first, int64_t count, int64_t wanted,
                                               MatrixView<const uint8_t> key_mask,
                                               TokenDecoderState* state) const {
  const MatrixView<float> x = state->x_;
  if (stack_) {
    const BlockStep step = {x.rows() / count, first, count, wanted, state->rotary_positions_.data(),
                            key_mask.data()};
    const MatrixView<float> hidden = stack_->Forward(step, x, &*state->stack_);
    stack_->FinalNorm(hidden);
    return hidden;
  }
  state->t5_rows_.clear();
  for (int64_t i = 0; i < x.rows(); ++i) {
    const int64_t block = i / count;
    state->t5_rows_.push_back({&state->pages_[block], first + i % count, 0,
                               key_mask.empty() ? nullptr : key_mask.Row(block).data(),
                               /*attends_if_masked=*/true});
  }
  t5_->Forward(state->t5_rows_, x, &*state->t5_);
  t5_->FinalNorm(x);
  return x;
}

int64_t TokenDecoder::RotaryPosition(int64_t position, PositionRule rule) const {
  if (rule == PositionRule::kTrained) return position;
  return std::max<int64_t>(0, position - (lead_ - 1));
}

void TokenDecoder::Generate(MatrixView<const float> contexts, int64_t steps, PositionRule rule,
                            const ChooseTokens& choose, TokenDecoderState* state,
                            MatrixView<int32_t> ids) const {
  const int64_t blocks = contexts.rows();
  Begin(contexts, rule, state);
  std::vector<int32_t> chosen(blocks);
  for (int64_t step = 0; step < steps; ++step) {
    // The first step runs the lead, each later one the token chosen before it.
    const int64_t first = step == 0 ? 0 : lead_ + step - 1;
    const int64_t count = step == 0 ? lead_ : 1;
    state->x_.Resize(blocks * count, width_);
    ParallelFor(blocks * count, kMinNumbersPerThread / width_ + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t block = i / count;
        WriteInput(*state, block, first + i % count, chosen[block], state->x_.Row(i));
      }
    });
    choose(step, RunStack(first, count, 1, /*key_mask=*/{}, state), chosen);
    for (int64_t block = 0; block < blocks; ++block) ids.Row(block)[step] = chosen[block];
  }
}

MatrixView<const float> TokenDecoder::Score(MatrixView<const float> contexts,
                                            MatrixView<const int32_t> ids,
                                            MatrixView<const uint8_t> mask,
                                            TokenDecoderState* state) const {
  const int64_t blocks = contexts.rows();
  const int64_t positions = num_positions();  // the last token is never an input
  Begin(contexts, PositionRule::kTrained, state);
  state->x_.Resize(blocks * positions, width_);
  state->key_mask_.Resize(blocks, positions);
  for (int64_t i = 0; i < blocks * positions; ++i) {
    const int64_t block = i / positions;
    const int64_t position = i % positions;
    const int64_t token = position - lead_;  // behind the lead
    const bool in_lead = token < 0;
    state->key_mask_.Row(block)[position] = in_lead ? 1 : mask.Row(block)[token];
    WriteInput(*state, block, position, in_lead ? 0 : ids.Row(block)[token], state->x_.Row(i));
  }
  return RunStack(0, positions, config_.block_length, state->key_mask_, state);
}

}  // namespace blockformer
