#ifndef BLOCKFORMER_SERVER_GENERATION_H_
#define BLOCKFORMER_SERVER_GENERATION_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine_loop.h"
#include "engine/text_stream.h"
#include "server/api_error.h"
#include "server/completion_request.h"
#include "server/log_probabilities.h"
#include "server/served_model.h"

namespace blockformer {

// What a step has added to one sequence.
struct GenerationEvent {
  size_t sequence = 0;
  std::string text;  // whole characters, maybe empty
  std::vector<int32_t> ids;
  std::vector<TokenLogProbabilities> log_probabilities;  // of the ids, if they were asked for
  bool ended = false;
  FinishReason reason = FinishReason::kLength;  // if it has ended
  bool is_first = false;
  double seconds = 0;  // since the sequence's last event, or since the request came
};

// "stop" or "length".
const char* ApiFinishReason(FinishReason reason);

// The sequences of one request on their way through the engine. The engine's thread makes events of
// their tokens, the I/O thread takes them.
class Generation : public std::enable_shared_from_this<Generation> {
 public:
  struct Sequence {
    std::vector<int32_t> prompt;
    int64_t max_tokens = 0;
    uint64_t stream = 0;                  // see GenerationRequest::stream
    std::optional<int64_t> left_padding;  // see GenerationRequest::left_padding
  };

  // Queues all sequences or none. `model` and `loop` outlive the generation; the executor is the
  // I/O thread's. Throws ApiError: 429 if the queue is full, 503 if the server shuts down.
  static std::shared_ptr<Generation> Start(
      const boost::asio::any_io_executor& executor, EngineLoop* loop, const ServedModel& model,
      const GenerationSettings& settings, std::vector<Sequence> sequences,
      std::optional<std::chrono::steady_clock::time_point> deadline);

  // Waits for what the engine has made since the last call. On the I/O thread. Throws ApiError if a
  // sequence fails, and boost::system::system_error after Cancel().
  boost::asio::awaitable<std::vector<GenerationEvent>> Next();

  // Ends all sequences within a step. On the I/O thread.
  void Cancel();

 private:
  using Clock = std::chrono::steady_clock;
  struct Progress {  // used by the engine's thread alone
    TextStream stream;
    Clock::time_point last;
    bool began = false;
  };

  Generation(const boost::asio::any_io_executor& executor, EngineLoop* loop)
      : loop_(loop), signal_(executor) {}

  LoopRequest MakeRequest(size_t index, const GenerationSettings& settings, Sequence sequence);
  bool Take(size_t index, const GeneratedTokens& tokens);
  void Fail(const Error& error);
  void Wake();

  EngineLoop* loop_;
  boost::asio::steady_timer signal_;
  std::vector<int64_t> ids_;
  std::vector<Progress> progress_;
  std::atomic<bool> cancelled_ = false;
  std::mutex mutex_;  // guards what follows
  std::vector<GenerationEvent> events_;
  std::optional<ApiError> failure_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_GENERATION_H_
