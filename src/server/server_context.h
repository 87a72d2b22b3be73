#ifndef BLOCKFORMER_SERVER_SERVER_CONTEXT_H_
#define BLOCKFORMER_SERVER_SERVER_CONTEXT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "engine/engine_loop.h"
#include "engine/scorer.h"
#include "server/generation.h"
#include "server/metrics.h"
#include "server/served_model.h"

namespace blockformer {

class Exchange;
class TextThread;

// What the server has counted. Used on the I/O thread alone.
struct ServerMetrics {
  // Times of requests to /v1/completions and /v1/chat/completions, in seconds.
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

// What endpoints work with. Used on the I/O thread, but for the scorer, which the engine's thread
// uses, and the model, which the text thread reads too.
struct ServerContext {
  const ServedModel* model = nullptr;
  EngineLoop* loop = nullptr;
  Scorer* scorer = nullptr;
  TextThread* text_thread = nullptr;
  std::chrono::milliseconds request_timeout{0};  // 0 for none
  ServerMetrics metrics;
  int64_t scoring = 0;  // places of the queue that scoring takes

  // Of a request, which begins when it has arrived.
  std::optional<std::chrono::steady_clock::time_point> Deadline(const Exchange& exchange) const;

  // Watches a request's client. What it returns throws RequestTimeout() after the deadline, and
  // boost::system::system_error once the client has gone.
  std::function<void()> RequireWanted(Exchange* exchange) const;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_SERVER_CONTEXT_H_
