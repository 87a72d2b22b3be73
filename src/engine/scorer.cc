#include "engine/scorer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace blockformer {
namespace {

ScorerOptions WithDefaults(ScorerOptions options, const ModelConfig& config) {
  if (options.max_length == 0) options.max_length = config.max_length;
  Require(options.max_length >= 1 && options.max_length <= kMaxScorerTokens,
          ErrorCode::kInvalidArgument, "`max_length`: {} is out of range; 1 to {} is wanted",
          options.max_length, kMaxScorerTokens);
  Require(options.batch_tokens >= 1 && options.batch_tokens <= kMaxScorerTokens,
          ErrorCode::kInvalidArgument, "`batch_tokens`: {} is out of range; 1 to {} is wanted",
          options.batch_tokens, kMaxScorerTokens);
  if (!options.padding) {
    options.padding =
        config.padding.random_first_block ? ScoringPadding::kPadded : ScoringPadding::kUnpadded;
  }
  return options;
}

}  // namespace

std::optional<ScoringPadding> ParseScoringPadding(const std::string& option,
                                                  const std::string& name) {
  if (name == "pad") return ScoringPadding::kPadded;
  if (name == "nopad") return ScoringPadding::kUnpadded;
  Require(name == "auto", ErrorCode::kInvalidArgument,
          "{}: \"{}\" is not known; one of auto, pad, nopad is wanted", option, name);
  return std::nullopt;
}

int64_t CutTokens(std::span<const ScoreRequest> requests, int64_t max_length) {
  int64_t cut = 0;
  for (const ScoreRequest& request : requests) {
    cut += std::max<int64_t>(std::ssize(request.tokens) - 1 - max_length, 0);
  }
  return cut;
}

int64_t TotalTokens(std::span<const ScoreRequest> requests) {
  int64_t tokens = 0;
  for (const ScoreRequest& request : requests) tokens += std::ssize(request.tokens);
  return tokens;
}

Scorer::Scorer(std::shared_ptr<const Model> model, const ScorerOptions& options)
    : model_(std::move(model)),
      options_(WithDefaults(options, model_->config())),
      runner_(model_->MakeRunner({})),
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
  tokens.erase(tokens.begin(), tokens.begin() + CutTokens({request, 1}, options_.max_length));
}

void Scorer::Run(const NextRequest& next, const OnScores& on_scores) {
  batch_.Clear();
  int64_t done = 0;
  const auto finish_batch = [&] {
    const std::vector<TokenScore> scores = runner_->Score(batch_.MakeStep());
    std::vector<size_t> counts(batch_.num_requests());
    for (const ScoreBatch::Target& target : batch_.Targets()) {
      counts[target.request] += static_cast<size_t>(target.unit.end_slot - target.unit.first_slot);
    }
    batch_.Clear();
    size_t begin = 0;
    for (const size_t count : counts) {
      on_scores(done++, std::span(scores).subspan(begin, count));
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

void RequireFinite(std::span<const TokenScore> scores, const std::string& source) {
  const bool all = std::ranges::all_of(
      scores, [](const TokenScore& score) { return std::isfinite(score.log_likelihood); });
  Require(all, ErrorCode::kCorrupt,
          "{}: the model's log-likelihood of this text is not a finite number; its weights are "
          "damaged, or its training diverged",
          source);
}

size_t CountWithin(std::span<const ScoreRequest> requests, int64_t max_tokens) {
  size_t count = 0;
  for (int64_t tokens = 0; count < requests.size() && tokens < max_tokens; ++count) {
    tokens += std::ssize(requests[count].tokens);
  }
  return count;
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
      [&](int64_t, std::span<const TokenScore> scores) {
        results.emplace_back(scores.begin(), scores.end());
      });
  return results;
}

}  // namespace blockformer
