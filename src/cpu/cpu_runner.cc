#include "cpu/cpu_runner.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/integer.h"

namespace blockformer {
namespace {

// Units that run through the token decoder and the output head together when they are scored.
constexpr int64_t kScoredUnitsAtOnce = 256;
constexpr int64_t kForwardPageSize = 16;

template <typename T>
void AppendValues(std::span<const T> values, std::vector<T>* all) {
  all->insert(all->end(), values.begin(), values.end());
}

}  // namespace

CpuRunner::CpuRunner(const CpuModel& model, const RunnerOptions& options)
    : model_(model), unit_length_(model.unit_length()), options_(options), places_(options.places) {
  if (options.num_pages == 0) return;
  decoder_state_.emplace(model.config().decoder, options.kv_type, options.num_pages,
                         options.page_size, options.max_units);
  if (options.fill_cache) decoder_state_->cache.FillForBenchmark();
}

void CpuRunner::Open(int64_t place, SequenceStart start) {
  const int64_t tokens = std::ssize(start.tokens) + start.max_tokens - start.generated;
  Place& opened = At(place);
  // A unit more than the tokens fill, and one that is begun.
  opened.unit_mask = UnitMask(start.mask, unit_length_, tokens / unit_length_ + 2);
  opened.pages.clear();
  opened.start = std::move(start);
  opened.constraint.reset();
  if (!opened.start.make_constraint) return;
  opened.constraint = opened.start.make_constraint();
  const std::span<const int32_t> generated = opened.start.tokens;
  for (const int32_t id : generated.last(static_cast<size_t>(opened.start.generated))) {
    opened.constraint->Take(id);
  }
}

void CpuRunner::Start(const Step& step) {
  for (const NewPage& page : step.new_pages) {
    std::vector<int32_t>& pages = At(page.place).pages;
    pages.resize(std::max(pages.size(), static_cast<size_t>(page.index) + 1));
    pages[page.index] = page.page;
  }
  const MatrixView<const float> contexts = RunParts(step.parts);
  std::vector<Place*> generating;
  for (const StepPart& part : step.parts) {
    if (part.generates) generating.push_back(&At(part.place));
  }
  StepResult result;
  if (!generating.empty()) GenerateUnits(generating, contexts, &result);
  results_.push_back(std::move(result));
}

StepResult CpuRunner::Wait() {
  Require(!results_.empty(), ErrorCode::kInternal, "no step was started");
  StepResult result = std::move(results_.front());
  results_.pop_front();
  return result;
}

MatrixView<const float> CpuRunner::Decode(MatrixView<const int32_t> ids,
                                          MatrixView<const uint8_t> mask,
                                          const std::vector<int64_t>& wanted, PagedState* state) {
  contexts_.Resize(ids.rows(), model_.config().decoder.hidden_size);
  model_.embedder().Embed(ids, mask, &embedder_state_, contexts_);
  const MatrixView<float> hidden = model_.decoder().Forward(rows_, wanted, contexts_, state);
  model_.decoder().FinalNorm(hidden);
  return hidden;
}

MatrixView<const float> CpuRunner::RunParts(const std::vector<StepPart>& parts) {
  rows_.clear();
  unit_ids_.clear();
  unit_mask_.clear();
  std::vector<int64_t> last_rows;
  for (const StepPart& part : parts) {
    const Place& place = At(part.place);
    const int64_t end = part.begin + part.units;
    for (int64_t unit = part.begin; unit < end; ++unit) {
      rows_.push_back({place.pages.data(), unit, unit,
                       place.unit_mask.empty() ? nullptr : place.unit_mask.data(), false});
    }
    const auto tokens = place.start.tokens.begin();
    unit_ids_.insert(unit_ids_.end(), tokens + part.begin * unit_length_,
                     tokens + end * unit_length_);
    const int64_t masked = std::ssize(place.start.mask);
    const auto mask = place.start.mask.begin();
    unit_mask_.insert(unit_mask_.end(), mask + std::min(part.begin * unit_length_, masked),
                      mask + std::min(end * unit_length_, masked));
    unit_mask_.resize(unit_ids_.size(), 1);  // what has no mask is no padding
    if (part.generates) last_rows.push_back(std::ssize(rows_) - 1);
  }
  return Decode({unit_ids_, unit_length_}, {unit_mask_, unit_length_}, last_rows, &*decoder_state_);
}

void CpuRunner::GenerateUnits(const std::vector<Place*>& places, MatrixView<const float> contexts,
                              StepResult* result) {
  result->ids.resize(std::ssize(places) * unit_length_);
  result->chosen.assign(places.size(), unit_length_);
  result->is_constrained.assign(places.size(), 0);
  const bool any_rated = std::ranges::any_of(
      places, [](const Place* place) { return place->start.top_log_probabilities >= 0; });
  if (any_rated) result->log_probabilities.resize(result->ids.size());
  int64_t slots = 0;
  for (Place* place : places) {
    place->given = std::ssize(place->start.tokens) % unit_length_;
    slots = std::max(slots, place->given + place->start.max_tokens - place->start.generated);
  }
  const auto choose = [&](int64_t slot, MatrixView<const float> hidden, std::span<int32_t> ids) {
    ChooseTokens(places, slot, hidden, ids, result);
  };
  if (!model_.is_block()) return choose(0, contexts, result->ids);
  model_.token_decoder().Generate(contexts, std::min(slots, unit_length_), options_.position_rule,
                                  choose, &token_state_, {result->ids, unit_length_});
}

void CpuRunner::ChooseTokens(const std::vector<Place*>& places, int64_t slot,
                             MatrixView<const float> hidden, std::span<int32_t> ids,
                             StepResult* result) {
  draws_.clear();
  for (const Place* place : places) {
    const SequenceStart& start = place->start;
    const bool is_given = slot < place->given;
    draws_.push_back({&start.sampling, start.stream, static_cast<uint64_t>(start.generated),
                      std::span(start.tokens).subspan(start.prompt_begin), start.generated,
                      start.excluded_ids, is_given ? -1 : start.top_log_probabilities});
    if (place->constraint && !is_given) draws_.back().allowed = place->constraint->Allowed();
  }
  rated_.resize(draws_.size());
  model_.head().Choose(hidden, draws_, options_.token_filter, ids, rated_);
  for (size_t i = 0; i < places.size(); ++i) {
    SequenceStart& start = places[i]->start;
    const int64_t given = places[i]->given;
    if (slot < given) {
      ids[i] = start.tokens[start.tokens.size() - static_cast<size_t>(given - slot)];
      continue;
    }
    const bool is_allowed = ids[i] == kNoToken || IsAllowed(draws_[i].allowed, ids[i]);
    if (ids[i] == kNoToken || !is_allowed) {
      if (slot < result->chosen[i]) {
        result->chosen[i] = slot;
        result->is_constrained[i] = is_allowed ? 0 : 1;
      }
      ids[i] = 0;  // any token, for the rest of the unit
    } else if (start.top_log_probabilities >= 0) {
      result->log_probabilities[i * unit_length_ + slot] = std::move(rated_[i]);
    }
    start.tokens.push_back(ids[i]);
    ++start.generated;
    if (places[i]->constraint) places[i]->constraint->Take(ids[i]);
  }
}

PagedState* CpuRunner::ReserveScoreState(const ScoreStep& step) {
  if (step.num_pages > score_pages_ || step.max_units > score_units_ ||
      step.page_size != score_page_size_) {
    // With room, so that it is not reserved and touched anew for each batch that is a bit larger.
    score_pages_ = std::max(step.num_pages * 3 / 2, score_pages_);
    score_units_ = std::max(step.max_units, score_units_);
    score_page_size_ = step.page_size;
    score_state_.reset();  // before the memory is reserved anew
    score_state_.emplace(model_.config().decoder, NumberType::kF32, score_pages_, step.page_size,
                         score_units_);
  }
  return &*score_state_;
}

std::vector<TokenScore> CpuRunner::Score(const ScoreStep& step) {
  std::vector<TokenScore> scores;
  if (step.units.empty()) return scores;
  const std::vector<int64_t> wanted = ContextRows(step);

  rows_.clear();
  for (const UnitRow& row : step.rows) {
    rows_.push_back({row.pages, row.unit, row.unit, row.unit_mask});
  }
  const MatrixView<const float> contexts =
      Decode({step.ids, unit_length_}, {step.mask, unit_length_}, wanted, ReserveScoreState(step));

  Matrix<float> unit_contexts(kScoredUnitsAtOnce, contexts.columns());
  for (int64_t first = 0; first < std::ssize(step.units); first += kScoredUnitsAtOnce) {
    const int64_t count = std::min(kScoredUnitsAtOnce, std::ssize(step.units) - first);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = step.units[first + i].row;
      const int64_t index = std::ranges::lower_bound(wanted, row) - wanted.begin();
      std::ranges::copy(contexts.Row(index), unit_contexts.Row(i).begin());
    }
    ScoreUnits(step, first, unit_contexts.Rows(0, count), &scores);
  }
  return scores;
}

void CpuRunner::ScoreUnits(const ScoreStep& step, int64_t first, MatrixView<const float> contexts,
                           std::vector<TokenScore>* scores) {
  const int64_t count = contexts.rows();
  const auto ids = MatrixView<const int32_t>(step.unit_ids, unit_length_).Rows(first, count);
  const auto mask = MatrixView<const uint8_t>(step.unit_mask, unit_length_).Rows(first, count);
  const MatrixView<const float> hidden =
      model_.is_block() ? model_.token_decoder().Score(contexts, ids, mask, &token_state_)
                        : contexts;  // a vanilla model predicts from there
  std::vector<float> wanted;
  std::vector<int32_t> targets;
  for (int64_t i = 0; i < count; ++i) {
    const ScoredUnit& unit = step.units[first + i];
    const int64_t begin = i * unit_length_ + unit.first_slot;
    const int64_t slots = unit.end_slot - unit.first_slot;
    AppendValues(hidden.Rows(begin, slots).values(), &wanted);
    AppendValues(ids.values().subspan(begin, slots), &targets);
  }
  const size_t done = scores->size();
  scores->resize(done + targets.size());
  model_.head().Score({wanted, hidden.columns()}, targets, std::span(*scores).subspan(done),
                      step.top);
}

ForwardOutput CpuRunner::Forward(const ForwardInput& input) {
  const StackConfig& config = model_.config().decoder;
  const int64_t num_rows = input.batch * input.units;
  ForwardOutput output;
  output.embeds.resize(num_rows * config.hidden_size);
  model_.embedder().Embed({input.ids, unit_length_}, {input.mask, unit_length_}, &embedder_state_,
                          {output.embeds, config.hidden_size});

  const int64_t pages = DivideUp(input.units, kForwardPageSize);
  int32_t last_position = static_cast<int32_t>(input.units - 1);
  for (const int32_t position : input.positions) last_position = std::max(last_position, position);
  PagedState state(config, NumberType::kF32, input.batch * pages, kForwardPageSize,
                   last_position + 1);
  Matrix<int32_t> page_lists(input.batch, pages);
  std::iota(page_lists.values().begin(), page_lists.values().end(), 0);
  const MatrixView<const uint8_t> unit_mask(input.unit_mask.data(), input.batch, input.units);
  std::vector<AttentionRow> rows;
  for (int64_t b = 0; b < input.batch; ++b) {
    for (int64_t i = 0; i < input.units; ++i) {
      const size_t index = b * input.units + i;
      const int64_t position = input.positions.empty() ? i : input.positions[index];
      rows.push_back({page_lists.Row(b).data(), i, position, unit_mask.Row(b).data(),
                      input.masked_units_attend});
    }
  }
  output.hidden = output.embeds;
  std::vector<int64_t> all(rows.size());
  std::iota(all.begin(), all.end(), 0);
  const MatrixView<float> hidden(output.hidden, config.hidden_size);
  model_.decoder().FinalNorm(model_.decoder().Forward(rows, all, hidden, &state));
  ComputeLogits(input, &output);
  return output;
}

void CpuRunner::ComputeLogits(const ForwardInput& input, ForwardOutput* output) {
  const int64_t vocab = model_.config().vocab_size;
  const MatrixView<const float> hidden(output->hidden, model_.config().decoder.hidden_size);
  if (!model_.is_block()) {
    output->logits.resize(hidden.rows() * vocab);
    return model_.head().ComputeLogits(hidden, {output->logits, vocab});
  }
  const MatrixView<const int32_t> ids(input.ids, unit_length_);
  const MatrixView<const uint8_t> mask(input.mask, unit_length_);
  const int64_t predicted = input.units - 1;  // all units but the first
  std::vector<float> contexts;
  std::vector<int32_t> predicted_ids;
  std::vector<uint8_t> predicted_mask;
  for (int64_t b = 0; b < input.batch; ++b) {
    const int64_t first = b * input.units;
    AppendValues(hidden.Rows(first, predicted).values(), &contexts);
    AppendValues(ids.Rows(first + 1, predicted).values(), &predicted_ids);
    AppendValues(mask.Rows(first + 1, predicted).values(), &predicted_mask);
  }
  if (contexts.empty()) return;
  const MatrixView<const float> decoded =
      model_.token_decoder().Score({contexts, hidden.columns()}, {predicted_ids, unit_length_},
                                   {predicted_mask, unit_length_}, &token_state_);
  output->logits.resize(decoded.rows() * vocab);
  model_.head().ComputeLogits(decoded, {output->logits, vocab});
}

}  // namespace blockformer
