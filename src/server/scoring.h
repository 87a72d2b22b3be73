#ifndef BLOCKFORMER_SERVER_SCORING_H_
#define BLOCKFORMER_SERVER_SCORING_H_

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <vector>

#include "engine/scorer.h"
#include "server/connection.h"
#include "server/server_context.h"

namespace blockformer {

// Whether the client of a request has gone; shared with whoever watches it.
using ClientState = std::shared_ptr<bool>;
ClientState WatchForScoring(Exchange* exchange);

// Scores on the engine's thread, a few at a time between its steps. Throws ApiError (429 if too
// many requests score already, 500 for scores that are not finite, 504 at the deadline), and
// boost::system::system_error once the client has gone.
boost::asio::awaitable<std::vector<std::vector<TokenScore>>> ScoreOnEngine(
    ServerContext* context, std::vector<ScoreRequest> requests, ClientState client_gone);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_SCORING_H_
