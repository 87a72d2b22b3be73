#include "cuda/given_tokens.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>

#include "cuda/choose.h"

namespace blockformer::cuda {
namespace {

constexpr int64_t kForwardPageSize = 16;

// Copies to memory of the device; waits, so that the source may go.
template <typename T>
Array<T> Upload(Stream* stream, const std::vector<T>& values) {
  Array<T> array(std::ssize(values));
  stream->CopyToDevice(array.data(), values.data(), array.size() * static_cast<int64_t>(sizeof(T)));
  stream->Wait();
  return array;
}

template <typename T>
void Download(Stream* stream, const T* device, int64_t count, T* host) {
  stream->CopyToHost(host, device, count * static_cast<int64_t>(sizeof(T)));
  stream->Wait();
}

}  // namespace

GivenTokens::GivenTokens(const CudaModel& model, Stream* stream)
    : model_(model),
      weights_(model.weights()),
      stream_(stream),
      unit_length_(model.unit_length()),
      vocab_(model.config().vocab_size),
      decoder_pass_(weights_, model.settings().prefill_rows),
      head_pass_(weights_, model.settings().logit_rows, /*chooses=*/false) {
  if (!weights_.token_decoder) return;
  const int64_t positions = weights_.token_decoder->inputs.lead + unit_length_ - 1;
  const int64_t blocks = std::max<int64_t>(model.settings().token_blocks / positions, 1);
  token_pass_ = TokenPass(weights_, unit_length_, blocks, positions);
}

int64_t GivenTokens::BlocksAtOnce() const {
  return weights_.token_decoder ? token_pass_.blocks() : head_pass_.rows();
}

void GivenTokens::Reserve(int64_t num_pages, int64_t page_size, int64_t positions) {
  if (positions > positions_) {
    positions_ = positions;
    state_.rotary = RotaryAngles(weights_.decoder, positions);
  }
  if (num_pages <= pages_ && page_size == page_size_) return;
  // With room, so that it is not had anew for each batch that is a bit larger.
  pages_ = std::max(num_pages * 3 / 2, pages_);
  page_size_ = page_size;
  state_.cache = KvCache();  // before the memory is had anew
  state_.cache = KvCache(weights_.decoder, Element::kF32, pages_, page_size);
}

GivenTokens::Rows GivenTokens::RowsOf(const ScoreStep& step) {
  Rows result;
  // Sequences are told apart by where their pages are listed; rows see no page behind their own.
  std::map<const int32_t*, int32_t> tables;
  std::vector<const UnitRow*> last_rows;
  int64_t max_units = 1;
  for (const UnitRow& row : step.rows) {
    const auto [entry, is_new] = tables.try_emplace(row.pages, std::ssize(last_rows));
    const size_t table = entry->second;
    if (is_new) last_rows.push_back(&row);
    if (row.unit > last_rows[table]->unit) last_rows[table] = &row;
    max_units = std::max(max_units, row.unit + 1);
    const int32_t unit = static_cast<int32_t>(row.unit);
    result.rows.push_back(
        {entry->second, unit, unit, row.unit_mask != nullptr ? DecoderRow::kHasMask : 0});
  }
  result.max_pages = (max_units + step.page_size - 1) / step.page_size;
  result.mask_stride = max_units;
  for (const UnitRow* last : last_rows) {
    const int64_t units = last->unit + 1;
    result.pages.insert(result.pages.end(), last->pages,
                        last->pages + (units + step.page_size - 1) / step.page_size);
    result.pages.resize((result.pages.size() + static_cast<size_t>(result.max_pages) - 1) /
                        static_cast<size_t>(result.max_pages) *
                        static_cast<size_t>(result.max_pages));
    std::vector<uint8_t> mask(max_units, 1);
    if (last->unit_mask != nullptr) std::copy_n(last->unit_mask, units, mask.begin());
    result.unit_mask.insert(result.unit_mask.end(), mask.begin(), mask.end());
  }
  return result;
}

GivenTokens::Rows GivenTokens::RowsOf(const ForwardInput& input) {
  Rows result;
  result.max_pages = (input.units + kForwardPageSize - 1) / kForwardPageSize;
  result.pages.resize(input.batch * result.max_pages);
  std::iota(result.pages.begin(), result.pages.end(), 0);
  result.mask_stride = input.units;
  result.unit_mask = input.unit_mask;
  const int32_t flags =
      DecoderRow::kHasMask | (input.masked_units_attend ? DecoderRow::kAttendsIfMasked : 0);
  for (int64_t i = 0; i < input.batch * input.units; ++i) {
    const int32_t unit = static_cast<int32_t>(i % input.units);
    const int32_t rotary = input.positions.empty() ? unit : input.positions[i];
    result.rows.push_back({static_cast<int32_t>(i / input.units), unit, rotary, flags});
  }
  return result;
}

void GivenTokens::RunDecoder(const Rows& rows, const std::vector<int32_t>& ids,
                             const std::vector<int64_t>& wanted, float* decoded,
                             std::vector<float>* embeds) {
  const int64_t width = weights_.decoder.width;
  const int64_t num_rows = std::ssize(rows.rows);
  const Array<DecoderRow> device_rows = Upload(stream_, rows.rows);
  const Array<int32_t> device_ids = Upload(stream_, ids);
  const Array<int32_t> pages = Upload(stream_, rows.pages);
  const Array<uint8_t> unit_mask = Upload(stream_, rows.unit_mask);
  state_.tables = {pages.data(), rows.max_pages, unit_mask.data(), rows.mask_stride};
  auto next = wanted.begin();
  for (int64_t first = 0; first < num_rows; first += decoder_pass_.rows()) {
    const int64_t count = std::min(decoder_pass_.rows(), num_rows - first);
    std::vector<int32_t> list;
    for (; next != wanted.end() && *next < first + count; ++next) {
      list.push_back(static_cast<int32_t>(*next - first));
    }
    const Array<int32_t> device_list = Upload(stream_, list);
    decoder_pass_.Embed(
        stream_, {device_ids.data() + first * unit_length_, nullptr, 0, 0, unit_length_}, count);
    if (embeds != nullptr) {
      Download(stream_, decoder_pass_.x(), count * width, embeds->data() + first * width);
    }
    const WantedRows wanted_rows = {std::ssize(list), device_list.data()};
    const float* x =
        decoder_pass_.Run(stream_, state_, device_rows.data() + first, count, wanted_rows);
    if (!list.empty()) {
      GatherRows(stream_, x, std::ssize(list), width, nullptr, 1, 1, decoded);
      decoded += std::ssize(list) * width;
    }
    stream_->Wait();  // before the list goes
  }
}

const float* GivenTokens::RunBlocks(const float* decoded, int64_t blocks, const int32_t* ids,
                                    const uint8_t* mask) {
  const int64_t lead = weights_.token_decoder->inputs.lead;
  const int64_t positions = token_pass_.positions();
  // The last token of a block is never an input; those of the lead are seen by all.
  std::vector<uint8_t> key_mask(blocks * positions, 1);
  for (int64_t i = 0; i < blocks * positions; ++i) {
    const int64_t token = i % positions - lead;
    if (token >= 0) {
      key_mask[i] = mask[i / positions * unit_length_ + token];
    }
  }
  const Array<uint8_t> device_mask = Upload(stream_, key_mask);
  const Array<int32_t> device_ids =
      Upload(stream_, std::vector<int32_t>(ids, ids + blocks * unit_length_));
  BlockStep step;
  step.blocks = blocks;
  step.count = positions;
  step.wanted = unit_length_;
  step.key_mask = device_mask.data();
  token_pass_.Begin(stream_, decoded, blocks);
  const float* x = token_pass_.Run(stream_, step, {device_ids.data(), nullptr, 0, 0, unit_length_});
  stream_->Wait();  // before the inputs go
  return x;
}

std::vector<TokenScore> GivenTokens::Score(const ScoreStep& step) {
  std::vector<TokenScore> scores;
  if (step.units.empty()) return scores;
  const std::vector<int64_t> wanted = ContextRows(step);
  Reserve(step.num_pages, step.page_size, step.max_units);
  const int64_t width = weights_.decoder.width;
  const Array<float> decoded(std::ssize(wanted) * width);
  RunDecoder(RowsOf(step), step.ids, wanted, decoded.data(), nullptr);

  const Array<float> contexts(BlocksAtOnce() * width);
  const Array<float> hidden(head_pass_.rows() * head_pass_.width());
  const Array<TargetScore> device_scores(head_pass_.rows());
  const int64_t entries = std::min(step.top, vocab_);
  const Array<TokenRating> device_ratings(entries > 0 ? head_pass_.rows() : 0);
  for (int64_t first = 0; first < std::ssize(step.units); first += BlocksAtOnce()) {
    const int64_t count = std::min(BlocksAtOnce(), std::ssize(step.units) - first);
    std::vector<int32_t> sources;
    std::vector<int32_t> targets;
    std::vector<int32_t> slots;  // rows of the blocks' results, one for each target
    for (int64_t i = 0; i < count; ++i) {
      const ScoredUnit& unit = step.units[first + i];
      sources.push_back(
          static_cast<int32_t>(std::ranges::lower_bound(wanted, unit.row) - wanted.begin()));
      for (int64_t slot = unit.first_slot; slot < unit.end_slot; ++slot) {
        slots.push_back(static_cast<int32_t>(i * unit_length_ + slot));
        targets.push_back(step.unit_ids[(first + i) * unit_length_ + slot]);
      }
    }
    const Array<int32_t> device_sources = Upload(stream_, sources);
    GatherRows(stream_, decoded.data(), count, width, device_sources.data(), 0, 0, contexts.data());
    const float* x = contexts.data();  // a vanilla model predicts from there
    if (weights_.token_decoder) {
      x = RunBlocks(contexts.data(), count, step.unit_ids.data() + first * unit_length_,
                    step.unit_mask.data() + first * unit_length_);
    }
    const Array<int32_t> device_slots = Upload(stream_, slots);
    const Array<int32_t> device_targets = Upload(stream_, targets);
    for (int64_t i = 0; i < std::ssize(slots); i += head_pass_.rows()) {
      const int64_t rows = std::min(head_pass_.rows(), std::ssize(slots) - i);
      GatherRows(stream_, x, rows, head_pass_.width(), device_slots.data() + i, 0, 0,
                 hidden.data());
      head_pass_.Run(stream_, hidden.data(), rows);
      ScoreTargets(stream_, head_pass_.logits(), vocab_, device_targets.data() + i, rows, entries,
                   device_scores.data(), device_ratings.data());
      std::vector<TargetScore> chunk(rows);
      Download(stream_, device_scores.data(), rows, chunk.data());
      std::vector<TokenRating> ratings(entries > 0 ? chunk.size() : 0);
      if (entries > 0) Download(stream_, device_ratings.data(), rows, ratings.data());
      for (size_t j = 0; j < chunk.size(); ++j) {
        scores.push_back({chunk[j].log_likelihood, chunk[j].is_largest != 0});
        for (int64_t k = 0; k < entries && std::isfinite(chunk[j].log_likelihood); ++k) {
          scores.back().top.push_back({ratings[j].ids[k], ratings[j].log_probabilities[k]});
        }
      }
    }
  }
  return scores;
}

ForwardOutput GivenTokens::Forward(const ForwardInput& input) {
  const int64_t width = weights_.decoder.width;
  const int64_t num_rows = input.batch * input.units;
  ForwardOutput output;
  output.embeds.resize(num_rows * width);
  output.hidden.resize(output.embeds.size());
  int64_t last_position = input.units - 1;
  for (const int32_t position : input.positions) {
    last_position = std::max<int64_t>(last_position, position);
  }
  const Rows rows = RowsOf(input);
  Reserve(input.batch * rows.max_pages, kForwardPageSize, last_position + 1);
  std::vector<int64_t> all(num_rows);
  std::iota(all.begin(), all.end(), 0);
  const Array<float> decoded(num_rows * width);
  const Array<float> hidden(num_rows * width);
  RunDecoder(rows, input.ids, all, decoded.data(), &output.embeds);
  FinalNorm(stream_, weights_.decoder, decoded.data(), num_rows, Element::kF32, hidden.data());
  Download(stream_, hidden.data(), num_rows * width, output.hidden.data());

  const auto append_logits = [&](const float* x, int64_t count) {
    for (int64_t i = 0; i < count; i += head_pass_.rows()) {
      const int64_t chunk = std::min(head_pass_.rows(), count - i);
      head_pass_.Run(stream_, x + i * head_pass_.width(), chunk);
      const size_t done = output.logits.size();
      output.logits.resize(done + static_cast<size_t>(chunk * vocab_));
      Download(stream_, head_pass_.logits(), chunk * vocab_, output.logits.data() + done);
    }
  };
  if (!weights_.token_decoder) {
    append_logits(decoded.data(), num_rows);
    return output;
  }
  // The first block of a sequence is not predicted.
  const int64_t predicted = input.units - 1;
  for (int64_t b = 0; b < input.batch; ++b) {
    for (int64_t first = 0; first < predicted; first += BlocksAtOnce()) {
      const int64_t count = std::min(BlocksAtOnce(), predicted - first);
      const int64_t row = b * input.units + first;
      const int64_t token = (row + 1) * unit_length_;
      append_logits(RunBlocks(decoded.data() + row * width, count, input.ids.data() + token,
                              input.mask.data() + token),
                    count * unit_length_);
    }
  }
  return output;
}

}  // namespace blockformer::cuda
