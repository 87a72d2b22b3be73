#include "cpu/output_head.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/parallel.h"

namespace blockformer {
namespace {

// Of each row that draws among candidates, each thread keeps at least this many tokens.
constexpr int64_t kCandidates = 256;
// Room for those that a tile adds before the list is cut again.
constexpr int64_t kRoom = 4 * kCandidates;
constexpr int64_t kScannedRows = 8;
// Rows whose logits are in memory at once, where it takes all of them.
constexpr int64_t kFallbackRows = 16;

bool Before(const RankedToken& a, const RankedToken& b) { return a.Before(b); }

// What one thread keeps of one row's logits.
struct RowPart {
  bool is_finite = true;  // all logits so far; what else is kept counts only then
  RankedToken first;      // of kLargest and kWithNoise
  bool skips = true;      // a tile without a logit as large as the first one's
  // Of kCandidates: the most likely tokens, no longer all of them once the list has been cut.
  std::vector<RankedToken> candidates;
  bool cut = false;
  float threshold = -std::numeric_limits<float>::infinity();  // what is below cannot be among them
  // The sum of exp((logit - largest) / temperature).
  float largest = -std::numeric_limits<float>::infinity();
  double sum = 0;

  void Collect(const float* logits, int64_t count, int32_t first_id) {
    // In pieces that fit into the room.
    for (int64_t i = 0; i < count; i += kCandidates) {
      const int64_t piece = std::min(kCandidates, count - i);
      const size_t size = candidates.size();
      candidates.resize(size + static_cast<size_t>(piece));
      const int64_t added = CollectAbove(logits + i, piece, first_id + static_cast<int32_t>(i),
                                         threshold, candidates.data() + size);
      candidates.resize(size + static_cast<size_t>(added));
      if (static_cast<int64_t>(candidates.size()) > kRoom - kCandidates) Cut();
    }
  }

  // What equals the threshold may get lost from here on, whatever its rank; ChooseCandidate knows.
  void Cut() {
    const auto last = candidates.begin() + kCandidates - 1;
    std::nth_element(candidates.begin(), last, candidates.end(), Before);
    threshold = last->score;
    candidates.resize(kCandidates);
    cut = true;
  }

  void AddToSum(const float* logits, int64_t count, float inverse_temperature) {
    const float piece_largest = FindLargest(logits, count, 0).score;
    if (piece_largest > largest) {
      sum *= std::exp(static_cast<double>(largest - piece_largest) * inverse_temperature);
      largest = piece_largest;
    }
    sum += SumOfExponentials(logits, count, largest, inverse_temperature);
  }
};

// Keeps of every tile what the draws need.
class ChoiceSink : public TileSink {
 public:
  ChoiceSink(std::span<const TokenDraw> draws, const SampledIds& ids)
      : draws_(draws),
        ids_(ids),
        threads_(static_cast<size_t>(NumThreads())),
        parts_(draws.size() * threads_) {
    for (size_t i = 0; i < draws.size(); ++i) {
      changes_.emplace_back(draws[i]);
      // A change could raise what lies below the largest logit so far.
      if (MethodOf(*draws[i].options) == DrawMethod::kLargest && !changes_[i].may_raise()) continue;
      for (size_t t = 0; t < threads_; ++t) parts_[t * draws.size() + i].skips = false;
    }
  }

  void Take(int thread, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns,
            float* z, int64_t stride) override {
    const int64_t count = std::min(columns, ids_.count - first_column);
    if (count <= 0) return;
    for (int64_t r = 0; r < rows; r += kScannedRows) {
      TakeRows(static_cast<size_t>(thread), static_cast<size_t>(first_row + r),
               std::min(kScannedRows, rows - r), static_cast<int32_t>(first_column), count,
               z + r * stride, stride);
    }
  }

  // The token of a row, or kNoToken; nothing if it takes all logits to tell.
  std::optional<int32_t> Choose(size_t row) const {
    const TokenDraw& draw = draws_[row];
    for (size_t t = 0; t < threads_; ++t) {
      if (!Part(t, row).is_finite) return kNoToken;
    }
    if (MethodOf(*draw.options) == DrawMethod::kCandidates) return ChooseCandidate(row);
    RankedToken first;
    for (size_t t = 0; t < threads_; ++t) {
      if (Part(t, row).first.Before(first)) first = Part(t, row).first;
    }
    return first.id;
  }

 private:
  const RowPart& Part(size_t thread, size_t row) const {
    return parts_[thread * draws_.size() + row];
  }

  // Looks at a few rows together, since most tiles hold nothing that counts.
  void TakeRows(size_t thread, size_t first_row, int64_t rows, int32_t first_id, int64_t count,
                float* z, int64_t stride) {
    RowPart* parts = &parts_[thread * draws_.size() + first_row];
    float thresholds[kScannedRows];
    LogitScan scans[kScannedRows];
    for (int64_t r = 0; r < rows; ++r) thresholds[r] = parts[r].first.score;
    ScanRows(z, rows, count, stride, thresholds, scans);
    for (int64_t r = 0; r < rows; ++r) {
      parts[r].is_finite &= scans[r].all_finite;
      if (!parts[r].is_finite) continue;
      if (parts[r].skips && !scans[r].any_from) continue;
      TakeRow(first_row + static_cast<size_t>(r), first_id,
              {z + r * stride, static_cast<size_t>(count)}, &parts[r]);
    }
  }

  void TakeRow(size_t row, int32_t first_id, std::span<float> logits, RowPart* part) {
    const int64_t count = static_cast<int64_t>(logits.size());
    const TokenDraw& draw = draws_[row];
    const SamplingOptions& options = *draw.options;
    ExcludeIds(ids_.excluded, first_id, logits);
    changes_[row].Apply(first_id, logits);
    RankedToken first;
    switch (MethodOf(options)) {
      case DrawMethod::kLargest:
        first = FindLargest(logits.data(), count, first_id);
        break;
      case DrawMethod::kWithNoise:
        first = FindLargestWithNoise(logits.data(), count, first_id, InverseTemperature(options),
                                     NoiseKey(draw));
        break;
      case DrawMethod::kCandidates:
        part->Collect(logits.data(), count, first_id);
        if (options.top_k == 0 && options.top_p < 1) {
          part->AddToSum(logits.data(), count, InverseTemperature(options));
        }
        return;
    }
    if (first.Before(part->first)) part->first = first;
  }

  std::optional<int32_t> ChooseCandidate(size_t row) const {
    std::vector<RankedToken> candidates;
    float largest = -std::numeric_limits<float>::infinity();
    float bound = -std::numeric_limits<float>::infinity();  // tokens may be missing from here on
    bool all = true;
    for (size_t t = 0; t < threads_; ++t) {
      const RowPart& part = Part(t, row);
      candidates.insert(candidates.end(), part.candidates.begin(), part.candidates.end());
      largest = std::max(largest, part.largest);
      if (!part.cut) continue;
      all = false;
      bound = std::max(bound, part.threshold);
    }
    std::sort(candidates.begin(), candidates.end(), Before);
    // A thread that cut its list keeps tokens that rank behind some that another one dropped.
    while (!all && !candidates.empty() && candidates.back().score <= bound) candidates.pop_back();
    if (candidates.empty()) return std::nullopt;
    double sum = 0;
    const TokenDraw& draw = draws_[row];
    for (size_t t = 0; t < threads_; ++t) {
      const RowPart& part = Part(t, row);
      if (part.sum == 0) continue;
      sum += part.sum * std::exp((part.largest - largest) / draw.options->temperature);
    }
    return SampleCandidate(draw, candidates, all, sum);
  }

  std::span<const TokenDraw> draws_;
  const SampledIds& ids_;
  std::vector<LogitChanges> changes_;  // by row
  size_t threads_;
  std::vector<RowPart> parts_;  // [threads, rows]
};

// Keeps of every tile what the log-likelihoods of given tokens need.
class LikelihoodSink : public TileSink {
 public:
  explicit LikelihoodSink(std::span<const int32_t> targets)
      : targets_(targets),
        target_logits_(targets.size()),
        threads_(static_cast<size_t>(NumThreads())),
        parts_(targets.size() * threads_) {}

  void Take(int thread, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns,
            float* z, int64_t stride) override {
    for (int64_t r = 0; r < rows; ++r) {
      const size_t row = static_cast<size_t>(first_row + r);
      const float* logits = z + r * stride;
      Part& part = parts_[static_cast<size_t>(thread) * targets_.size() + row];
      part.is_finite &= ScanLogits(logits, columns, 0).all_finite;
      if (!part.is_finite) continue;
      const int64_t target = targets_[row] - first_column;
      if (target >= 0 && target < columns) target_logits_[row] = logits[target];
      part.Add(logits, columns, static_cast<int32_t>(first_column));
    }
  }

  TokenScore Score(size_t row) const {
    Part total;
    for (size_t t = 0; t < threads_; ++t) total.Add(parts_[t * targets_.size() + row]);
    if (!total.is_finite) return {std::numeric_limits<double>::quiet_NaN(), false};
    const double largest = total.largest.score;
    return {target_logits_[row] - largest - std::log(total.sum), total.largest.id == targets_[row]};
  }

 private:
  // The largest of some logits of a row, and the sum of exp(logit - largest) over them.
  struct Part {
    bool is_finite = true;  // all of them; the rest counts only then
    RankedToken largest;
    double sum = 0;

    void Add(const float* logits, int64_t count, int32_t first_id) {
      Raise(FindLargest(logits, count, first_id));
      sum += SumOfExponentials(logits, count, largest.score, 1);
    }
    void Add(const Part& other) {
      is_finite &= other.is_finite;
      if (other.sum == 0) return;
      Raise(other.largest);
      sum += other.sum * std::exp(static_cast<double>(other.largest.score) - largest.score);
    }
    void Raise(const RankedToken& token) {
      if (!token.Before(largest)) return;
      if (sum > 0) sum *= std::exp(static_cast<double>(largest.score) - token.score);
      largest = token;
    }
  };

  std::span<const int32_t> targets_;
  std::vector<float> target_logits_;  // by row
  size_t threads_;
  std::vector<Part> parts_;  // [threads, rows]
};

}  // namespace

void OutputHead::Score(const float* hidden, std::span<const int32_t> targets,
                       TokenScore* scores) const {
  LikelihoodSink sink(targets);
  linear_.ApplyTiles(hidden, static_cast<int64_t>(targets.size()), &sink);
  for (size_t i = 0; i < targets.size(); ++i) scores[i] = sink.Score(i);
}

void OutputHead::Choose(const float* hidden, std::span<const TokenDraw> draws,
                        const SampledIds& ids, int32_t* chosen) const {
  const int64_t count = static_cast<int64_t>(draws.size());
  ChoiceSink sink(draws, ids);
  linear_.ApplyTiles(hidden, count, &sink);
  std::vector<char> open(draws.size(), 0);
  ParallelFor(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::optional<int32_t> id = sink.Choose(static_cast<size_t>(i));
      chosen[i] = id.value_or(-1);
      open[static_cast<size_t>(i)] = !id;
    }
  });
  std::vector<int64_t> rows;
  const auto choose_rows = [&] {
    if (!rows.empty()) ChooseFromAll(hidden, rows, draws, ids, chosen);
    rows.clear();
  };
  for (int64_t i = 0; i < count; ++i) {
    if (open[static_cast<size_t>(i)] != 0) rows.push_back(i);
    if (static_cast<int64_t>(rows.size()) == kFallbackRows) choose_rows();
  }
  choose_rows();
}

TokenLogProbabilities OutputHead::Rate(const float* hidden, int32_t token, int64_t top) const {
  const int64_t vocab = linear_.out();
  std::vector<float> logits(static_cast<size_t>(vocab));
  ComputeLogits(hidden, 1, logits.data());
  const auto before = [&](int32_t a, int32_t b) {
    return RankedToken{logits[static_cast<size_t>(a)], a}.Before(
        {logits[static_cast<size_t>(b)], b});
  };
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto end = ids.begin() + std::max<int64_t>(1, std::min(top, vocab));
  std::partial_sort(ids.begin(), end, ids.end(), before);
  const double largest = logits[static_cast<size_t>(ids[0])];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  const auto rate = [&](int32_t id) {
    return logits[static_cast<size_t>(id)] - largest - std::log(sum);
  };
  TokenLogProbabilities result;
  result.chosen = rate(token);
  for (auto id = ids.begin(); id != end && std::ssize(result.top) < top; ++id) {
    result.top.push_back({*id, rate(*id)});
  }
  return result;
}

void OutputHead::ChooseFromAll(const float* hidden, const std::vector<int64_t>& rows,
                               std::span<const TokenDraw> draws, const SampledIds& ids,
                               int32_t* chosen) const {
  const int64_t count = static_cast<int64_t>(rows.size());
  const int64_t vocab = linear_.out();
  std::vector<float> inputs;
  for (const int64_t row : rows) {
    inputs.insert(inputs.end(), hidden + row * linear_.in(), hidden + (row + 1) * linear_.in());
  }
  std::vector<float> logits(static_cast<size_t>(count * vocab));
  ComputeLogits(inputs.data(), count, logits.data());
  ParallelFor(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::span row(logits.data() + i * vocab, static_cast<size_t>(ids.count));
      ExcludeIds(ids.excluded, 0, row);
      const int64_t index = rows[static_cast<size_t>(i)];
      chosen[index] = SampleToken(draws[static_cast<size_t>(index)], row);
    }
  });
}

}  // namespace blockformer
