#include "server/scoring.h"

#include <fmt/format.h>

#include "server/api_error.h"
#include "server/engine_work.h"

namespace blockformer {
namespace {

std::function<std::vector<std::vector<TokenScore>>()> ScoringWork(
    Scorer* scorer, std::vector<ScoreRequest> requests, size_t begin) {
  return [scorer, requests = std::move(requests), begin] {
    std::vector<std::vector<TokenScore>> scores = ScoreAll(scorer, requests);
    for (size_t i = 0; i < scores.size(); ++i) {
      RequireFinite(scores[i], fmt::format("text {}", begin + i));
    }
    return scores;
  };
}

}  // namespace

EngineScoring::EngineScoring(ServerContext* context, Exchange* exchange,
                             std::vector<ScoreRequest> requests, int64_t places)
    : context_(context),
      requests_(std::move(requests)),
      places_(places),
      require_wanted_(context->RequireWanted(exchange)) {
  if (context->scoring + places > context->loop->capacity()) {
    throw ApiError(429, fmt::format("{} requests are being scored already", context->scoring), "",
                   "queue_full");
  }
  context->scoring += places;
}

EngineScoring::~EngineScoring() { context_->scoring -= places_; }

std::vector<ScoreRequest> EngineScoring::TakePiece() {
  const auto left = std::span(requests_).subspan(begun_);
  const auto piece = left.first(CountWithin(left, kTokensBetweenSteps));
  begun_ += piece.size();
  return {std::move_iterator(piece.begin()), std::move_iterator(piece.end())};
}

boost::asio::awaitable<void> EngineScoring::ScorePiece() {
  require_wanted_();
  const size_t first = begun_;
  std::vector<ScoreRequest> piece = TakePiece();
  context_->metrics.scored_tokens += TotalTokens(piece);
  std::function<Scores()> work = ScoringWork(context_->scorer, std::move(piece), first);
  Scores scores;
  try {
    scores = co_await RunOnEngine<Scores>(context_->loop, std::move(work));
  } catch (const Error& error) {
    const ApiError failure = ToApiError(error);
    throw failure;
  }
  std::move(scores.begin(), scores.end(), std::back_inserter(done_));
}

boost::asio::awaitable<std::vector<TokenScore>> EngineScoring::Next() {
  if (done_.empty()) co_await ScorePiece();
  std::vector<TokenScore> scores = std::move(done_.front());
  done_.pop_front();
  co_return scores;
}

}  // namespace blockformer
