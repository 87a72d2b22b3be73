#include "data/packing.h"

#include <algorithm>
#include <bit>
#include <random>

#include "base/error.h"
#include "base/integer.h"

namespace blockformer {
namespace {

// The published training runs all draw their left pads from this seed.
constexpr uint32_t kLeftPadSeed = 42;
constexpr int64_t kMaxBlockLength = int64_t{1} << 15;  // pads are i16 there and here

void CheckOptions(const PackingOptions& options) {
  Require(options.block_length >= 1 && options.block_length <= kMaxBlockLength,
          ErrorCode::kInvalidArgument, "block_length: {}; 1 to {} is possible",
          options.block_length, kMaxBlockLength);
  Require(options.sample_length >= 1 && options.sample_length % options.block_length == 0,
          ErrorCode::kInvalidArgument,
          "sample_length: {}; a positive multiple of the block length {} is wanted",
          options.sample_length, options.block_length);
}

std::span<int32_t> Cut(std::span<int32_t> values, int64_t begin, int64_t end) {
  return values.subspan(begin, static_cast<size_t>(end - begin));
}

}  // namespace

PackingOptions ModelPacking(const ModelConfig& model, bool published) {
  PackingOptions options;
  options.sample_length = model.max_length;
  options.published = published;
  options.eos_id = static_cast<int32_t>(model.eos_token_id);
  options.pad_id = static_cast<int32_t>(model.pad_token_id);
  options.vocab_size = static_cast<int32_t>(model.vocab_size);
  if (model.kind == ModelKind::kBlock) {
    options.block_length = model.block_length;
    options.random_pad_first_block = model.padding.random_first_block;
    options.pad_to_block_boundary = model.padding.to_block_boundary;
  }
  return options;
}

std::vector<int16_t> LegacyNumpyRandint(uint32_t seed, int64_t bound, int64_t count) {
  std::vector<int16_t> values(count, 0);
  const auto largest = static_cast<uint32_t>(bound - 1);
  if (largest == 0) return values;  // numpy draws nothing then
  const uint32_t mask = std::bit_ceil(largest + 1) - 1;
  std::mt19937 generator(seed);
  uint32_t bits = 0;
  bool has_high_half = false;
  for (int16_t& value : values) {
    uint32_t candidate;
    do {
      bits = has_high_half ? bits >> 16 : static_cast<uint32_t>(generator());
      has_high_half = !has_high_half;
      candidate = bits & mask;
    } while (candidate > largest);
    value = static_cast<int16_t>(candidate);
  }
  return values;
}

PackedSamples::PackedSamples(const TokenFile& tokens, const PackingOptions& options)
    : tokens_(tokens), options_(options) {
  CheckOptions(options_);
  const int64_t documents = tokens_.NumDocuments();
  if (options_.random_pad_first_block) {
    left_pads_ = LegacyNumpyRandint(kLeftPadSeed, options_.block_length, documents);
  }
  starts_.reserve(static_cast<size_t>(documents) + 1);
  int64_t position = 0;
  for (int64_t document = 0; document < documents; ++document) {
    starts_.push_back(position);
    position += LeftPad(document) + tokens_.DocumentLength(document) + 1;
    // A document starts where a block does, so rounding up its end is padding its last block.
    if (options_.pad_to_block_boundary) {
      position = RoundUp(position, options_.block_length);
    }
  }
  starts_.push_back(position);
}

int64_t PackedSamples::LeftPad(int64_t document) const {
  return left_pads_.empty() ? 0 : left_pads_[document];
}

int64_t PackedSamples::TotalLength() const { return starts_.back(); }

int64_t PackedSamples::NumSamples() const { return TotalLength() / options_.sample_length; }

void PackedSamples::Read(int64_t sample, std::span<int32_t> ids, std::span<int32_t> mask,
                         std::span<int32_t> labels) const {
  Require(sample >= 0 && sample < NumSamples(), ErrorCode::kInvalidArgument,
          "{}: sample {}; there are {}", tokens_.prefix(), sample, NumSamples());
  const auto length = static_cast<size_t>(options_.sample_length);
  Require(ids.size() == length && mask.size() == length && labels.size() == length,
          ErrorCode::kInternal, "a sample is read into {}, {} and {} entries; it has {}",
          ids.size(), mask.size(), labels.size(), length);
  std::ranges::fill(ids, options_.pad_id);
  std::ranges::fill(mask, 0);
  std::ranges::fill(labels, kIgnoredLabel);
  const int64_t begin = sample * options_.sample_length;
  const int64_t end = begin + options_.sample_length;
  int64_t document = std::ranges::upper_bound(starts_, begin) - starts_.begin() - 1;
  for (; starts_[document] < end; ++document) {
    // The document's tokens are [text_begin, end_of_text), cut to [from, to) by the sample.
    const int64_t text_begin = starts_[document] + LeftPad(document);
    const int64_t end_of_text = text_begin + tokens_.DocumentLength(document);
    const int64_t from = std::max(text_begin, begin);
    int64_t to = std::min(end_of_text, end);
    if (from < to) ReadText(document, from - text_begin, Cut(ids, from - begin, to - begin));
    if (end_of_text >= begin && end_of_text < end && KeepsEndOfText(end_of_text, end)) {
      ids[end_of_text - begin] = options_.eos_id;
      to = end_of_text + 1;
    }
    if (from >= to) continue;
    std::ranges::fill(Cut(mask, from - begin, to - begin), 1);
    std::ranges::copy(Cut(ids, from - begin, to - begin),
                      Cut(labels, from - begin, to - begin).begin());
  }
}

void PackedSamples::ReadText(int64_t document, int64_t begin, std::span<int32_t> ids) const {
  tokens_.ReadTokens(document, begin, ids);
  // A negative id is a large unsigned one.
  uint32_t largest = 0;
  for (const int32_t id : ids) largest = std::max(largest, static_cast<uint32_t>(id));
  Require(largest < static_cast<uint32_t>(options_.vocab_size), ErrorCode::kCorrupt,
          "{}.bin: document {} holds token {}; ids from 0 to {} are possible in this vocabulary",
          tokens_.prefix(), document, static_cast<int32_t>(largest), options_.vocab_size - 1);
}

// Whether the end-of-text at this position is a target. The published implementation overwrites one
// that fills its document's last block by a pad, unless it is also the last token of its sample,
// which ends at `sample_end`.
bool PackedSamples::KeepsEndOfText(int64_t position, int64_t sample_end) const {
  if (!options_.published || !options_.pad_to_block_boundary) return true;
  const bool fills_block = (position + 1) % options_.block_length == 0;
  return !fills_block || position + 1 == sample_end;
}

}  // namespace blockformer
