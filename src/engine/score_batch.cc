#include "engine/score_batch.h"

#include <algorithm>
#include <utility>

#include "base/matrix.h"

namespace blockformer {
namespace {

std::vector<uint8_t> MaskOf(const std::vector<int32_t>& tokens, int32_t pad_id) {
  std::vector<uint8_t> mask;
  bool keeps_pad = tokens[0] != pad_id;
  for (const int32_t token : tokens) {
    const bool is_pad = token == pad_id;
    mask.push_back(!is_pad || keeps_pad);
    if (is_pad) keeps_pad = false;
  }
  return mask;
}

int64_t CommonPrefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

}  // namespace

ScoreBatch::ScoreBatch(const ModelConfig& config, ScoringPadding padding)
    : is_block_(config.kind == ModelKind::kBlock),
      unit_length_(config.UnitLength()),
      left_pad_(is_block_ && padding == ScoringPadding::kPadded ? unit_length_ - 1 : 0),
      pad_id_(static_cast<int32_t>(config.pad_token_id)) {}

int64_t ScoreBatch::NumUnits(const ScoreRequest& request) const {
  return SlotOf(static_cast<int64_t>(request.tokens.size()) - 1) / unit_length_;
}

int64_t ScoreBatch::SharedUnits(const ScoreRequest& request) const {
  if (items_.empty()) return 0;
  const Item& last = items_.back();
  const int64_t whole_units =
      SlotOf(CommonPrefix(last.request.tokens, request.tokens)) / unit_length_;
  const int64_t units =
      std::min({whole_units, NumUnits(request), static_cast<int64_t>(last.rows.size())});
  return units / kPageSize * kPageSize;
}

int64_t ScoreBatch::Cost(const ScoreRequest& request) const {
  return (NumUnits(request) - SharedUnits(request)) * unit_length_ + request.scored;
}

void ScoreBatch::Add(ScoreRequest request) {
  cost_ += Cost(request);
  Item item;
  item.first_own = SharedUnits(request);
  if (item.first_own > 0) {
    const Item& last = items_.back();
    item.rows.assign(last.rows.begin(), last.rows.begin() + item.first_own);
    item.unit_mask.assign(last.unit_mask.begin(), last.unit_mask.begin() + item.first_own);
    item.pages.assign(last.pages.begin(), last.pages.begin() + item.first_own / kPageSize);
  }
  item.request = std::move(request);
  item.mask = MaskOf(item.request.tokens, pad_id_);
  for (int64_t unit = item.first_own; unit < NumUnits(item.request); ++unit) {
    uint8_t any = 0;
    for (int64_t slot = unit * unit_length_; slot < (unit + 1) * unit_length_; ++slot) {
      const bool is_text = slot >= left_pad_;
      const size_t token = slot - left_pad_;
      ids_.push_back(is_text ? item.request.tokens[token] : pad_id_);
      // A vanilla model knows no padding.
      mask_.push_back(is_text && (!is_block_ || item.mask[token] != 0));
      any |= mask_.back();
    }
    item.unit_mask.push_back(any);
    item.rows.push_back(num_rows_++);
    if (unit % kPageSize == 0) item.pages.push_back(num_pages_++);
  }
  items_.push_back(std::move(item));
}

void ScoreBatch::Clear() {
  items_.clear();
  ids_.clear();
  mask_.clear();
  num_rows_ = 0;
  cost_ = 0;
  num_pages_ = 0;
}

ScoreStep ScoreBatch::MakeStep() const {
  ScoreStep step;
  for (const Item& item : items_) step.top = std::max(step.top, item.request.top);
  step.num_pages = num_pages_;
  step.page_size = kPageSize;
  step.ids = ids_;
  step.mask = mask_;
  for (const Item& item : items_) {
    const int64_t units = std::ssize(item.rows);
    step.max_units = std::max(step.max_units, units);
    for (int64_t unit = item.first_own; unit < units; ++unit) {
      step.rows.push_back({item.pages.data(), unit, item.unit_mask.data()});
    }
  }
  const std::vector<Target> targets = Targets();
  step.unit_ids.resize(targets.size() * unit_length_);
  step.unit_mask.resize(step.unit_ids.size());
  const MatrixView<int32_t> unit_ids(step.unit_ids, unit_length_);
  const MatrixView<uint8_t> unit_mask(step.unit_mask, unit_length_);
  for (int64_t i = 0; i < std::ssize(targets); ++i) {
    step.units.push_back(targets[i].unit);
    ReadUnit(targets[i], unit_ids.Row(i), unit_mask.Row(i));
  }
  return step;
}

std::vector<ScoreBatch::Target> ScoreBatch::Targets() const {
  std::vector<Target> result;
  for (int64_t i = 0; i < num_requests(); ++i) {
    const Item& item = items_[i];
    const int64_t tokens = std::ssize(item.request.tokens);
    // The first unit is never predicted.
    const int64_t begin = std::max(SlotOf(tokens - item.request.scored), unit_length_);
    const int64_t end = SlotOf(tokens);
    for (int64_t slot = begin; slot < end; slot = (slot / unit_length_ + 1) * unit_length_) {
      const int64_t unit = slot / unit_length_;
      const int64_t first = unit * unit_length_;
      const int64_t row = item.rows[unit - 1];
      result.push_back(
          {i, first - left_pad_, {row, slot - first, std::min(end - first, unit_length_)}});
    }
  }
  return result;
}

void ScoreBatch::ReadUnit(const Target& target, std::span<int32_t> ids,
                          std::span<uint8_t> mask) const {
  const Item& item = items_[target.request];
  for (int64_t slot = 0; slot < unit_length_; ++slot) {
    const size_t token = target.first_token + slot;
    const bool is_text = slot < target.unit.end_slot;
    ids[slot] = is_text ? item.request.tokens[token] : pad_id_;
    mask[slot] = is_text && item.mask[token] != 0;
  }
}

}  // namespace blockformer
