#include "server/scoring.h"

#include <fmt/format.h>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include "server/api_error.h"
#include "server/engine_work.h"

namespace blockformer {
namespace {

// Counts a request as one that scores while it lives.
class ScoringPlace {
 public:
  explicit ScoringPlace(ServerContext* context) : context_(context) {
    if (context->scoring >= context->max_scoring) {
      throw ApiError(429, fmt::format("{} requests are being scored already", context->scoring), "",
                     "queue_full");
    }
    ++context->scoring;
  }
  ~ScoringPlace() { --context_->scoring; }
  ScoringPlace(const ScoringPlace&) = delete;
  ScoringPlace& operator=(const ScoringPlace&) = delete;

 private:
  ServerContext* context_;
};

// The next ones of `requests`, of which `begin` have been scored, that are scored together.
std::vector<ScoreRequest> TakePiece(std::span<ScoreRequest> requests, size_t begin) {
  const auto left = requests.subspan(begin);
  const auto piece = left.first(CountWithin(left, kTokensBetweenSteps));
  return {std::move_iterator(piece.begin()), std::move_iterator(piece.end())};
}

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

ClientState WatchForScoring(Exchange* exchange) {
  auto gone = std::make_shared<bool>(false);
  exchange->WatchClient([gone] { *gone = true; });
  return gone;
}

boost::asio::awaitable<std::vector<std::vector<TokenScore>>> ScoreOnEngine(
    ServerContext* context, std::vector<ScoreRequest> requests, ClientState client_gone) {
  using Scores = std::vector<std::vector<TokenScore>>;
  const ScoringPlace place(context);
  const auto deadline = context->Deadline();
  Scores scores;
  while (scores.size() < requests.size()) {
    if (*client_gone) throw boost::system::system_error(boost::asio::error::connection_reset);
    if (deadline && std::chrono::steady_clock::now() > *deadline) {
      throw RequestTimeout();
    }
    std::vector<ScoreRequest> piece = TakePiece(requests, scores.size());
    context->metrics.scored_tokens += TotalTokens(piece);
    std::function<Scores()> work = ScoringWork(context->scorer, std::move(piece), scores.size());
    Scores done;
    try {
      done = co_await RunOnEngine<Scores>(context->loop, std::move(work));
    } catch (const Error& error) {
      const ApiError failure = ToApiError(error);
      throw failure;
    }
    std::move(done.begin(), done.end(), std::back_inserter(scores));
  }
  co_return scores;
}

}  // namespace blockformer
