#ifndef BLOCKFORMER_SERVER_SERVER_CONTEXT_H_
#define BLOCKFORMER_SERVER_SERVER_CONTEXT_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine_loop.h"
#include "engine/scorer.h"
#include "server/connection.h"
#include "server/generation.h"
#include "server/metrics.h"
#include "server/served_model.h"

namespace blockformer {

// What the server has counted; of the I/O thread.
struct ServerMetrics {
  // Of requests to /v1/completions and /v1/chat/completions, in seconds.
  Histogram first_token{{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5,
                         5, 7.5, 10, 20, 40, 80}};
  Histogram inter_token{{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                         0.3, 0.4, 0.5, 0.75, 1, 2.5}};
  Histogram request_seconds{
      {0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960}};
  int64_t prompt_tokens = 0;
  int64_t scored_tokens = 0;
  std::map<std::string, int64_t> finished;   // sequences by label finished_reason="..."
  std::map<std::string, int64_t> responses;  // answers by label code="..."
  int64_t cancelled = 0;                     // clients that went away before their answer

  void Add(const GenerationEvent& event);
};

// What endpoints work with. Of the I/O thread, but for what the loop runs.
struct ServerContext {
  const ServedModel* model = nullptr;
  EngineLoop* loop = nullptr;
  Scorer* scorer = nullptr;                      // of the engine's thread
  std::chrono::milliseconds request_timeout{0};  // 0 for none
  int64_t max_scoring = 64;                      // requests that score at once
  ServerMetrics metrics;
  int64_t scoring = 0;

  std::optional<std::chrono::steady_clock::time_point> Deadline() const;
};

// Whether the client of a request has gone; shared with whoever watches it.
using ClientState = std::shared_ptr<bool>;
ClientState WatchForScoring(Exchange* exchange);

// Scores on the engine's thread, a few at a time between its steps. Throws ApiError (429 if too
// many requests score already, 500 for scores that are not finite, 504 at the deadline), and
// boost::system::system_error once the client has gone.
boost::asio::awaitable<std::vector<std::vector<TokenScore>>> ScoreOnEngine(
    ServerContext* context, std::vector<ScoreRequest> requests, ClientState client_gone);

// Endpoints. All throw ApiError.
boost::asio::awaitable<void> HandleCompletions(ServerContext* context, Exchange* exchange);
boost::asio::awaitable<void> HandleChatCompletions(ServerContext* context, Exchange* exchange);
boost::asio::awaitable<void> HandleScore(ServerContext* context, Exchange* exchange);
HttpResponse Tokenize(const ServedModel& model, const HttpRequest& request);
HttpResponse Detokenize(const ServedModel& model, const HttpRequest& request);

// "stop" or "length".
const char* ApiFinishReason(FinishReason reason);

HttpResponse JsonResponse(const OrderedJson& json);

// Of an answer by server-sent events.
HttpResponse EventStreamHead();

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_SERVER_CONTEXT_H_
