#ifndef BLOCKFORMER_SERVER_SCORING_H_
#define BLOCKFORMER_SERVER_SCORING_H_

#include <boost/asio/awaitable.hpp>
#include <deque>
#include <functional>
#include <vector>

#include "engine/scorer.h"
#include "server/connection.h"
#include "server/server_context.h"

namespace blockformer {

// Scores texts on the engine's thread, a few at a time between its steps.
class EngineScoring {
 public:
  // Takes `places` of the queue while it lives. Throws ApiError(429) if so many are not left.
  EngineScoring(ServerContext* context, Exchange* exchange, std::vector<ScoreRequest> requests,
                int64_t places = 1);
  ~EngineScoring();
  EngineScoring(const EngineScoring&) = delete;
  EngineScoring& operator=(const EngineScoring&) = delete;

  // The scores of the next request, of those that are left. Throws ApiError (500 for scores that
  // are not finite, 504 at the deadline), and boost::system::system_error once the client has gone.
  boost::asio::awaitable<std::vector<TokenScore>> Next();

 private:
  using Scores = std::vector<std::vector<TokenScore>>;

  // The next requests that are scored together.
  std::vector<ScoreRequest> TakePiece();
  boost::asio::awaitable<void> ScorePiece();

  ServerContext* context_;
  std::vector<ScoreRequest> requests_;
  int64_t places_;
  std::function<void()> require_wanted_;
  size_t begun_ = 0;                          // requests that were taken
  std::deque<std::vector<TokenScore>> done_;  // of those that nobody has asked for yet
};

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_SCORING_H_
