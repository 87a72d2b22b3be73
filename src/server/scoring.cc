#include "server/scoring.h"

#include <fmt/format.h>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include "server/api_error.h"
#include "server/engine_work.h"

namespace blockformer {
namespace {

// Tokens scored between two steps, and beyond which a request is not put to others.
constexpr int64_t kTokensBetweenSteps = 2048;

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

std::function<std::vector<std::vector<TokenScore>>()> ScoringWork(
    Scorer* scorer, std::vector<ScoreRequest> requests) {
  return [scorer, requests = std::move(requests)] { return ScoreAll(scorer, requests); };
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
  size_t next = 0;
  while (next < requests.size()) {
    if (*client_gone) throw boost::system::system_error(boost::asio::error::connection_reset);
    if (deadline && std::chrono::steady_clock::now() > *deadline) {
      throw RequestTimeout();
    }
    std::vector<ScoreRequest> piece;
    int64_t tokens = 0;
    while (next < requests.size() && (piece.empty() || tokens < kTokensBetweenSteps)) {
      tokens += std::ssize(requests[next].tokens);
      piece.push_back(std::move(requests[next++]));
    }
    context->metrics.scored_tokens += tokens;
    std::function<Scores()> work = ScoringWork(context->scorer, std::move(piece));
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
