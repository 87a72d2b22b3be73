#include "engine/scorer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace blockformer {
namespace {

// Units that run through the token decoder and the output head together.
constexpr int64_t kUnitsAtOnce = 256;

ScorerOptions Complete(ScorerOptions options, const ModelConfig& config) {
  if (options.max_length == 0) options.max_length = config.max_length;
  Require(options.max_length >= 1 && options.max_length <= kMaxScorerTokens,
          ErrorCode::kInvalidArgument, "max_length: {} is out of range; 1 to {} is wanted",
          options.max_length, kMaxScorerTokens);
  Require(options.batch_tokens >= 1 && options.batch_tokens <= kMaxScorerTokens,
          ErrorCode::kInvalidArgument, "batch_tokens: {} is out of range; 1 to {} is wanted",
          options.batch_tokens, kMaxScorerTokens);
  if (!options.padding) {
    options.padding =
        config.padding.random_first_block ? ScoringPadding::kPadded : ScoringPadding::kUnpadded;
  }
  return options;
}

}  // namespace

int64_t CutTokens(const ScoreRequest& request, int64_t max_length) {
  return std::max<int64_t>(std::ssize(request.tokens) - 1 - max_length, 0);
}

Scorer::Scorer(std::shared_ptr<const Model> model, const ScorerOptions& options)
    : model_(std::move(model)),
      options_(Complete(options, model_->config())),
      batch_(model_->config(), *options_.padding) {}

void Scorer::CheckAndCut(ScoreRequest* request) const {
  std::vector<int32_t>& tokens = request->tokens;
  const int64_t count = static_cast<int64_t>(tokens.size());
  Require(request->scored >= 1 && request->scored < count, ErrorCode::kInvalidArgument,
          "{} of {} tokens cannot be scored; 1 to all but the first can", request->scored, count);
  Require(request->scored <= options_.max_length, ErrorCode::kInvalidArgument,
          "{} tokens to score are more than the model's {}", request->scored, options_.max_length);
  for (const int32_t id : tokens) {
    Require(id >= 0 && id < model_->config().vocab_size, ErrorCode::kInvalidArgument,
            "token id {} is not in [0, {})", id, model_->config().vocab_size);
  }
  tokens.erase(tokens.begin(), tokens.begin() + CutTokens(*request, options_.max_length));
}

void Scorer::Run(const NextRequest& next, const OnScores& on_scores) {
  batch_.Clear();
  int64_t done = 0;
  const auto finish_batch = [&] {
    ScoreBatchTokens();
    std::vector<size_t> counts(static_cast<size_t>(batch_.num_requests()));
    for (const ScoreBatch::ScoredUnit& unit : batch_.ScoredUnits()) {
      counts[static_cast<size_t>(unit.request)] +=
          static_cast<size_t>(unit.end_slot - unit.first_slot);
    }
    batch_.Clear();
    size_t begin = 0;
    for (const size_t count : counts) {
      on_scores(done++, std::span(scores_).subspan(begin, count));
      begin += count;
    }
  };
  while (std::optional<ScoreRequest> request = next()) {
    CheckAndCut(&*request);
    const bool fits = batch_.cost() + batch_.Cost(*request) <= options_.batch_tokens;
    if (!batch_.empty() && !fits) finish_batch();
    batch_.Add(std::move(*request));
  }
  if (!batch_.empty()) finish_batch();
}

void Scorer::RunDecoder(const std::vector<int64_t>& wanted) {
  const int64_t rows = batch_.num_rows();
  contexts_.resize(static_cast<size_t>(rows * model_->config().decoder.hidden_size));
  model_->embedder().Embed(batch_.ids().data(), batch_.mask().data(), rows, &embedder_state_,
                           contexts_.data());
  if (batch_.num_pages() > reserved_pages_ || batch_.num_positions() > reserved_positions_) {
    // With room, so that it is not reserved and touched anew for each batch that is a bit larger.
    reserved_pages_ = std::max(batch_.num_pages() * 3 / 2, reserved_pages_);
    reserved_positions_ = std::max(batch_.num_positions(), reserved_positions_);
    stack_.reset();  // before the memory is reserved anew
    stack_.emplace(model_->config().decoder, NumberType::kF32, reserved_pages_,
                   ScoreBatch::kPageSize, reserved_positions_);
  }
  model_->decoder().Forward(batch_.AttentionRows(), wanted, contexts_.data(), &*stack_);
  model_->decoder().FinalNorm(contexts_.data(), static_cast<int64_t>(wanted.size()),
                              contexts_.data());
}

void Scorer::ScoreBatchTokens() {
  scores_.clear();
  const std::vector<ScoreBatch::ScoredUnit> units = batch_.ScoredUnits();
  if (units.empty()) return;
  std::vector<int64_t> wanted;
  for (const ScoreBatch::ScoredUnit& unit : units) wanted.push_back(unit.context);
  std::ranges::sort(wanted);
  const auto repeated = std::ranges::unique(wanted);
  wanted.erase(repeated.begin(), repeated.end());
  RunDecoder(wanted);

  const int64_t width = model_->config().decoder.hidden_size;
  const int64_t count = static_cast<int64_t>(units.size());
  unit_contexts_.resize(static_cast<size_t>(std::min(count, kUnitsAtOnce) * width));
  for (int64_t begin = 0; begin < count; begin += kUnitsAtOnce) {
    const int64_t size = std::min(kUnitsAtOnce, count - begin);
    const auto piece =
        std::span(units).subspan(static_cast<size_t>(begin), static_cast<size_t>(size));
    float* out = unit_contexts_.data();
    for (const ScoreBatch::ScoredUnit& unit : piece) {
      const int64_t index = std::ranges::lower_bound(wanted, unit.context) - wanted.begin();
      out = std::copy_n(contexts_.data() + index * width, width, out);
    }
    ScoreUnits(piece, unit_contexts_.data());
  }
}

void Scorer::ScoreUnits(std::span<const ScoreBatch::ScoredUnit> units, const float* contexts) {
  const int64_t length = model_->unit_length();
  unit_ids_.resize(units.size() * static_cast<size_t>(length));
  unit_mask_.resize(unit_ids_.size());
  for (size_t i = 0; i < units.size(); ++i) {
    const size_t first = i * static_cast<size_t>(length);
    batch_.ReadUnit(units[i], &unit_ids_[first], &unit_mask_[first]);
  }
  const float* hidden = contexts;  // a vanilla model predicts from there
  int64_t width = model_->config().decoder.hidden_size;
  if (model_->is_block()) {
    hidden = model_->token_decoder().Score(contexts, static_cast<int64_t>(units.size()),
                                           unit_ids_.data(), unit_mask_.data(), &token_state_);
    width = model_->config().TokenDecoderWidth();
  }
  hidden_.clear();
  targets_.clear();
  for (size_t i = 0; i < units.size(); ++i) {
    const int64_t first = static_cast<int64_t>(i) * length;
    const float* begin = hidden + (first + units[i].first_slot) * width;
    hidden_.insert(hidden_.end(), begin, hidden + (first + units[i].end_slot) * width);
    targets_.insert(targets_.end(), unit_ids_.begin() + first + units[i].first_slot,
                    unit_ids_.begin() + first + units[i].end_slot);
  }
  const size_t done = scores_.size();
  scores_.resize(done + targets_.size());
  model_->head().Score(hidden_.data(), targets_, &scores_[done]);
}

void RequireFinite(std::span<const TokenScore> scores, const std::string& place) {
  const bool all = std::ranges::all_of(
      scores, [](const TokenScore& score) { return std::isfinite(score.log_likelihood); });
  Require(all, ErrorCode::kCorrupt,
          "{}: the model's log-likelihood of this text is not a finite number; its weights are "
          "damaged, or its training diverged",
          place);
}

double SumOfScores(std::span<const TokenScore> scores) {
  double sum = 0;
  for (const TokenScore& score : scores) sum += score.log_likelihood;
  return sum;
}

std::vector<std::vector<TokenScore>> ScoreAll(Scorer* scorer,
                                              const std::vector<ScoreRequest>& requests) {
  std::vector<std::vector<TokenScore>> results;
  size_t next = 0;
  scorer->Run(
      [&]() -> std::optional<ScoreRequest> {
        if (next == requests.size()) return std::nullopt;
        return requests[next++];
      },
      [&](int64_t index, std::span<const TokenScore> scores) {
        RequireFinite(scores, fmt::format("request {}", index));
        results.emplace_back(scores.begin(), scores.end());
      });
  return results;
}

}  // namespace blockformer
