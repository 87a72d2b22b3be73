#include "cpu/output_head.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/aligned_buffer.h"
#include "base/parallel.h"

namespace blockformer {
namespace {

constexpr int64_t kScannedRows = 8;
// Rows whose logits are kept in memory at once.
constexpr int64_t kKeptRows = 64;
constexpr int64_t kNotKept = -1;

// Whether it takes all of a row's logits at once.
bool KeepsLogits(const TokenDraw& draw) {
  return MethodOf(*draw.options) == DrawMethod::kFiltered || draw.top_log_probabilities >= 0;
}

// What one thread keeps of one row's logits.
struct RowPart {
  bool is_finite = true;  // all logits so far; what else is kept counts only then
  RankedToken first;      // of kLargest and kGumbelMax
};

// Memory that is used again for every token. One thread's, that calls the head.
struct ChoiceScratch {
  std::vector<LogitChanges> changes;  // by row; no fewer than were ever wanted
  std::vector<int64_t> kept;          // by row: its number among those that are kept, or kNotKept
  std::vector<char> skips;            // by row: tiles without a logit as large as the first one's
  std::vector<RowPart> parts;         // [threads, rows]
  AlignedBuffer logits;               // [kept rows, vocab]
};

// Keeps of every tile what the draws need: the first token by rank, or all logits.
class ChoiceSink : public TileSink {
 public:
  ChoiceSink(std::span<const TokenDraw> draws, const TokenFilter& ids, int64_t vocab,
             ChoiceScratch* scratch)
      : draws_(draws), ids_(ids), vocab_(vocab), threads_(NumThreads()), scratch_(*scratch) {
    if (scratch_.changes.size() < draws.size()) scratch_.changes.resize(draws.size());
    scratch_.kept.assign(draws.size(), kNotKept);
    scratch_.skips.assign(draws.size(), 0);
    scratch_.parts.assign(draws.size() * threads_, {});
    int64_t kept = 0;
    for (size_t i = 0; i < draws.size(); ++i) {
      scratch_.changes[i].Set(draws[i]);
      if (KeepsLogits(draws[i])) scratch_.kept[i] = kept++;
      // A change could raise what lies below the largest logit so far.
      scratch_.skips[i] =
          MethodOf(*draws[i].options) == DrawMethod::kLargest && !scratch_.changes[i].may_raise();
    }
    scratch_.logits.Reserve(kept * vocab * static_cast<int64_t>(sizeof(float)));
  }

  void Take(int thread, const Tile& tile) override {
    for (int64_t r = 0; r < tile.rows; ++r) {
      float* kept = Kept(static_cast<size_t>(tile.first_row + r));
      if (kept == nullptr) continue;
      std::copy_n(tile.z + r * tile.stride, tile.columns, kept + tile.first_column);
    }
    const int64_t count = std::min(tile.columns, ids_.count - tile.first_column);
    if (count <= 0) return;
    for (int64_t r = 0; r < tile.rows; r += kScannedRows) {
      TakeRows(static_cast<size_t>(thread), static_cast<size_t>(tile.first_row + r),
               std::min(kScannedRows, tile.rows - r), static_cast<int32_t>(tile.first_column),
               count, tile.z + r * tile.stride, tile.stride);
    }
  }

  // The token of a row, or kNoToken. `rated` is filled if the draw wants it.
  int32_t Choose(size_t row, TokenLogProbabilities* rated) {
    const TokenDraw& draw = draws_[row];
    RankedToken first;
    for (size_t t = 0; t < threads_; ++t) {
      const RowPart& part = scratch_.parts[t * draws_.size() + row];
      if (!part.is_finite) return kNoToken;
      if (part.first.Before(first)) first = part.first;
    }
    float* logits = Kept(row);
    const bool is_filtered = MethodOf(*draw.options) == DrawMethod::kFiltered;
    if (draw.top_log_probabilities >= 0) {
      const std::span<const float> all(logits, static_cast<size_t>(vocab_));
      // As they are, before any change.
      thread_local std::vector<float> changed;
      int32_t id = first.id;
      if (is_filtered) {
        changed.assign(logits, logits + ids_.count);
        id = ChooseFiltered(row, changed);
      }
      *rated = RateToken(all, id, draw.top_log_probabilities);
      return id;
    }
    if (!is_filtered) return first.id;
    return ChooseFiltered(row, {logits, static_cast<size_t>(ids_.count)});
  }

 private:
  float* Kept(size_t row) const {
    if (scratch_.kept[row] == kNotKept) return nullptr;
    return scratch_.logits.As<float>() + scratch_.kept[row] * vocab_;
  }

  int32_t ChooseFiltered(size_t row, std::span<float> logits) const {
    ExcludeIds(ids_.excluded, 0, logits);
    scratch_.changes[row].Apply(0, logits);
    return SampleFiltered(draws_[row], logits);
  }

  // Looks at a few rows together, since most tiles hold nothing that counts.
  void TakeRows(size_t thread, size_t first_row, int64_t rows, int32_t first_id, int64_t count,
                float* z, int64_t stride) {
    RowPart* parts = &scratch_.parts[thread * draws_.size() + first_row];
    float thresholds[kScannedRows];
    LogitScan scans[kScannedRows];
    for (int64_t r = 0; r < rows; ++r) thresholds[r] = parts[r].first.score;
    ScanRows(z, rows, count, stride, thresholds, scans);
    for (int64_t r = 0; r < rows; ++r) {
      const size_t row = first_row + r;
      parts[r].is_finite &= scans[r].all_finite;
      if (!parts[r].is_finite) continue;
      if (scratch_.skips[row] != 0 && !scans[r].any_from) continue;
      TakeRow(row, first_id, {z + r * stride, static_cast<size_t>(count)}, &parts[r]);
    }
  }

  void TakeRow(size_t row, int32_t first_id, std::span<float> logits, RowPart* part) {
    const TokenDraw& draw = draws_[row];
    const DrawMethod method = MethodOf(*draw.options);
    if (method == DrawMethod::kFiltered) return;
    const int64_t count = std::ssize(logits);
    ExcludeIds(ids_.excluded, first_id, logits);
    scratch_.changes[row].Apply(first_id, logits);
    const RankedToken first =
        method == DrawMethod::kLargest
            ? FindLargest(logits.data(), count, first_id)
            : FindLargestWithNoise(logits.data(), count, first_id,
                                   InverseTemperature(*draw.options), NoiseKey(draw));
    if (first.Before(part->first)) part->first = first;
  }

  std::span<const TokenDraw> draws_;
  const TokenFilter& ids_;
  int64_t vocab_;
  size_t threads_;
  ChoiceScratch& scratch_;
};

// Keeps of every tile what the log-likelihoods of given tokens, and of the `top` likeliest, need.
// Sums are added strip by strip, so they do not depend on how tiles are shared out.
class LikelihoodSink : public TileSink {
 public:
  LikelihoodSink(std::span<const int32_t> targets, int64_t num_strips, int64_t top)
      : targets_(targets),
        num_strips_(num_strips),
        top_(top),
        target_logits_(targets.size()),
        parts_(targets.size() * num_strips_),
        tops_(top > 0 ? parts_.size() : 0) {}

  void Take(int, const Tile& tile) override {
    for (int64_t r = 0; r < tile.rows; ++r) {
      const size_t row = tile.first_row + r;
      const float* logits = tile.z + r * tile.stride;
      const size_t index = row * num_strips_ + static_cast<size_t>(tile.strip);
      Part& part = parts_[index];
      part.is_finite = ScanLogits(logits, tile.columns, 0).all_finite;
      if (!part.is_finite) continue;
      const int64_t target = targets_[row] - tile.first_column;
      if (target >= 0 && target < tile.columns) target_logits_[row] = logits[target];
      part.largest = FindLargest(logits, tile.columns, static_cast<int32_t>(tile.first_column));
      part.sum = SumOfExponentials(logits, tile.columns, part.largest.score, 1);
      if (top_ == 0) continue;
      for (int64_t i = 0; i < tile.columns; ++i) {
        tops_[index].push_back({logits[i], static_cast<int32_t>(tile.first_column + i)});
      }
      KeepFirst(&tops_[index]);
    }
  }

  TokenScore Score(size_t row) const {
    const std::span parts(parts_.data() + row * num_strips_, num_strips_);
    RankedToken largest;
    for (const Part& part : parts) {
      if (!part.is_finite) return {std::numeric_limits<double>::quiet_NaN(), false, {}};
      if (part.largest.Before(largest)) largest = part.largest;
    }
    double sum = 0;
    for (const Part& part : parts) {
      sum += part.sum * std::exp(static_cast<double>(part.largest.score) - largest.score);
    }
    const auto rate = [&](float logit) {
      return logit - static_cast<double>(largest.score) - std::log(sum);
    };
    TokenScore score = {rate(target_logits_[row]), largest.id == targets_[row], {}};
    for (const RankedToken& token : First(row)) {
      score.top.push_back({token.id, rate(token.score)});
    }
    return score;
  }

 private:
  // Of a row's logits in a strip.
  struct Part {
    bool is_finite = true;  // all of them; the rest counts only then
    RankedToken largest;
    float sum = 0;  // of exp(logit - largest)
  };

  void KeepFirst(std::vector<RankedToken>* tokens) const {
    const int64_t kept = std::min(top_, std::ssize(*tokens));
    std::partial_sort(tokens->begin(), tokens->begin() + kept, tokens->end(),
                      [](const RankedToken& a, const RankedToken& b) { return a.Before(b); });
    tokens->resize(kept);
  }
  // The first tokens of a row by rank.
  std::vector<RankedToken> First(size_t row) const {
    std::vector<RankedToken> first;
    if (top_ == 0) return first;
    for (size_t strip = 0; strip < num_strips_; ++strip) {
      const std::vector<RankedToken>& tokens = tops_[row * num_strips_ + strip];
      first.insert(first.end(), tokens.begin(), tokens.end());
    }
    KeepFirst(&first);
    return first;
  }

  std::span<const int32_t> targets_;
  size_t num_strips_;
  int64_t top_;
  std::vector<float> target_logits_;            // by row
  std::vector<Part> parts_;                     // [rows, strips]
  std::vector<std::vector<RankedToken>> tops_;  // [rows, strips]; empty unless they are wanted
};

}  // namespace

void OutputHead::Score(const float* hidden, std::span<const int32_t> targets, TokenScore* scores,
                       int64_t top) const {
  LikelihoodSink sink(targets, linear_.num_strips(), top);
  linear_.ApplyTiles(hidden, static_cast<int64_t>(targets.size()), &sink);
  for (size_t i = 0; i < targets.size(); ++i) scores[i] = sink.Score(i);
}

void OutputHead::Choose(const float* hidden, std::span<const TokenDraw> draws,
                        const TokenFilter& ids, int32_t* chosen,
                        TokenLogProbabilities* rated) const {
  thread_local ChoiceScratch scratch;
  for (size_t begin = 0, end = 0; begin < draws.size(); begin = end) {
    int64_t kept = 0;
    for (; end < draws.size() && kept < kKeptRows; ++end) kept += KeepsLogits(draws[end]);
    const std::span<const TokenDraw> part = draws.subspan(begin, end - begin);
    const int64_t rows = std::ssize(part);
    ChoiceSink sink(part, ids, linear_.out(), &scratch);
    linear_.ApplyTiles(hidden + static_cast<int64_t>(begin) * linear_.in(), rows, &sink);
    ParallelFor(rows, kept == 0 ? rows : 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const size_t row = begin + i;
        chosen[row] = sink.Choose(static_cast<size_t>(i), rated == nullptr ? nullptr : rated + row);
      }
    });
  }
}

}  // namespace blockformer
