#include "cpu/output_head.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/aligned_buffer.h"
#include "base/matrix.h"
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
  Matrix<RowPart> parts;              // [threads, rows]
  AlignedBuffer logits;               // [kept rows, vocab]
};

// Keeps of every tile what the draws need: the first token by rank, or all logits.
class ChoiceSink : public TileSink {
 public:
  ChoiceSink(std::span<const TokenDraw> draws, const TokenFilter& ids, int64_t vocab,
             ChoiceScratch* scratch)
      : draws_(draws), ids_(ids), scratch_(*scratch) {
    if (scratch_.changes.size() < draws.size()) scratch_.changes.resize(draws.size());
    scratch_.kept.assign(draws.size(), kNotKept);
    scratch_.skips.assign(draws.size(), 0);
    scratch_.parts.Resize(NumThreads(), std::ssize(draws));
    std::ranges::fill(scratch_.parts.values(), RowPart());
    int64_t kept = 0;
    for (size_t i = 0; i < draws.size(); ++i) {
      scratch_.changes[i].Set(draws[i]);
      if (KeepsLogits(draws[i])) scratch_.kept[i] = kept++;
      // A change could raise what lies below the largest logit so far.
      scratch_.skips[i] =
          MethodOf(*draws[i].options) == DrawMethod::kLargest && !scratch_.changes[i].may_raise();
    }
    scratch_.logits.Reserve(kept * vocab * static_cast<int64_t>(sizeof(float)));
    logits_ = {scratch_.logits.As<float>(), kept, vocab};
  }

  void Take(int thread, const Tile& tile) override {
    for (int64_t r = 0; r < tile.rows; ++r) {
      const int64_t row = tile.first_row + r;
      if (!IsKept(row)) continue;
      std::ranges::copy(tile.Row(r), KeptRow(row).begin() + tile.first_column);
    }
    Tile allowed = tile;  // of ids that may be chosen
    allowed.columns = std::min(tile.columns, ids_.count - tile.first_column);
    if (allowed.columns <= 0) return;
    for (int64_t r = 0; r < tile.rows; r += kScannedRows) TakeRows(thread, allowed, r);
  }

  // The token of a row, or kNoToken. `rated` is filled if the draw wants it.
  int32_t Choose(int64_t row, TokenLogProbabilities* rated) {
    const TokenDraw& draw = draws_[row];
    RankedToken first;
    for (int64_t thread = 0; thread < scratch_.parts.rows(); ++thread) {
      const RowPart& part = scratch_.parts.Row(thread)[row];
      if (!part.is_finite) return kNoToken;
      if (part.first.Before(first)) first = part.first;
    }
    if (!KeepsLogits(draw)) return first.id;
    const std::span<float> logits = KeptRow(row);
    const std::span<float> allowed = logits.first(ids_.count);
    if (draw.top_log_probabilities < 0) return ChooseFiltered(row, allowed);
    // Rated as they are, before any change.
    thread_local std::vector<float> changed;
    int32_t id = first.id;
    if (MethodOf(*draw.options) == DrawMethod::kFiltered) {
      changed.assign(allowed.begin(), allowed.end());
      id = ChooseFiltered(row, changed);
    }
    *rated = RateToken(logits, id, draw.top_log_probabilities);
    return id;
  }

 private:
  bool IsKept(int64_t row) const { return scratch_.kept[row] != kNotKept; }
  std::span<float> KeptRow(int64_t row) const { return logits_.Row(scratch_.kept[row]); }

  int32_t ChooseFiltered(int64_t row, std::span<float> logits) const {
    ExcludeIds(ids_.excluded, 0, logits);
    scratch_.changes[row].Apply(0, logits);
    return SampleFiltered(draws_[row], logits);
  }

  // Looks at a few of a tile's rows together, since most tiles hold nothing that counts.
  void TakeRows(int thread, const Tile& tile, int64_t begin) {
    const int64_t rows = std::min(kScannedRows, tile.rows - begin);
    const int64_t first_row = tile.first_row + begin;
    const std::span<RowPart> parts = scratch_.parts.Row(thread).subspan(first_row, rows);
    float thresholds[kScannedRows];
    LogitScan scans[kScannedRows];
    for (int64_t r = 0; r < rows; ++r) thresholds[r] = parts[r].first.score;
    ScanRows(tile.Row(begin).data(), rows, tile.columns, tile.stride, thresholds, scans);
    for (int64_t r = 0; r < rows; ++r) {
      parts[r].is_finite &= scans[r].all_finite;
      if (!parts[r].is_finite) continue;
      if (scratch_.skips[first_row + r] != 0 && !scans[r].any_from) continue;
      TakeRow(first_row + r, static_cast<int32_t>(tile.first_column), tile.Row(begin + r),
              &parts[r]);
    }
  }

  void TakeRow(int64_t row, int32_t first_id, std::span<float> logits, RowPart* part) {
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
  ChoiceScratch& scratch_;
  MatrixView<float> logits_;  // [kept rows, vocab], in scratch_
};

// Keeps of every tile what the log-likelihoods of given tokens, and of the `top` likeliest, need.
// Sums are added strip by strip, so they do not depend on how tiles are shared out.
class LikelihoodSink : public TileSink {
 public:
  LikelihoodSink(std::span<const int32_t> targets, int64_t num_strips, int64_t top)
      : targets_(targets),
        top_(top),
        target_logits_(targets.size()),
        parts_(std::ssize(targets), num_strips),
        tops_(top > 0 ? parts_.rows() : 0, num_strips) {}

  void Take(int, const Tile& tile) override {
    for (int64_t r = 0; r < tile.rows; ++r) {
      const int64_t row = tile.first_row + r;
      const float* logits = tile.Row(r).data();
      Part& part = parts_.Row(row)[tile.strip];
      part.is_finite = ScanLogits(logits, tile.columns, 0).all_finite;
      if (!part.is_finite) continue;
      const int64_t target = targets_[row] - tile.first_column;
      if (target >= 0 && target < tile.columns) target_logits_[row] = logits[target];
      part.largest = FindLargest(logits, tile.columns, static_cast<int32_t>(tile.first_column));
      part.sum = SumOfExponentials(logits, tile.columns, part.largest.score, 1);
      if (top_ == 0) continue;
      std::vector<RankedToken>& first = tops_.Row(row)[tile.strip];
      for (int64_t i = 0; i < tile.columns; ++i) {
        first.push_back({logits[i], static_cast<int32_t>(tile.first_column + i)});
      }
      KeepFirst(&first);
    }
  }

  TokenScore Score(int64_t row) const {
    const std::span<const Part> parts = parts_.Row(row);
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
  // What the logits of one row in one strip tell.
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
  std::vector<RankedToken> First(int64_t row) const {
    std::vector<RankedToken> first;
    if (top_ == 0) return first;
    for (const std::vector<RankedToken>& tokens : tops_.Row(row)) {
      first.insert(first.end(), tokens.begin(), tokens.end());
    }
    KeepFirst(&first);
    return first;
  }

  std::span<const int32_t> targets_;
  int64_t top_;
  std::vector<float> target_logits_;       // by row
  Matrix<Part> parts_;                     // [rows, strips]
  Matrix<std::vector<RankedToken>> tops_;  // [rows, strips]; empty unless they are wanted
};

}  // namespace

void OutputHead::Score(MatrixView<const float> hidden, std::span<const int32_t> targets,
                       std::span<TokenScore> scores, int64_t top) const {
  LikelihoodSink sink(targets, linear_.num_strips(), top);
  linear_.ApplyTiles(hidden, &sink);
  for (int64_t row = 0; row < std::ssize(targets); ++row) scores[row] = sink.Score(row);
}

void OutputHead::Choose(MatrixView<const float> hidden, std::span<const TokenDraw> draws,
                        const TokenFilter& ids, std::span<int32_t> chosen,
                        std::span<TokenLogProbabilities> rated) const {
  thread_local ChoiceScratch scratch;
  for (int64_t begin = 0, end = 0; begin < std::ssize(draws); begin = end) {
    int64_t kept = 0;
    for (; end < std::ssize(draws) && kept < kKeptRows; ++end) kept += KeepsLogits(draws[end]);
    const int64_t rows = end - begin;
    ChoiceSink sink(draws.subspan(begin, rows), ids, linear_.out(), &scratch);
    linear_.ApplyTiles(hidden.Rows(begin, rows), &sink);
    ParallelFor(rows, kept == 0 ? rows : 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const int64_t row = begin + i;
        chosen[row] = sink.Choose(i, rated.empty() ? nullptr : &rated[row]);
      }
    });
  }
}

}  // namespace blockformer
