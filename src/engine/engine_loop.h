#ifndef BLOCKFORMER_ENGINE_ENGINE_LOOP_H_
#define BLOCKFORMER_ENGINE_ENGINE_LOOP_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"

namespace blockformer {

struct EngineLoopOptions {
  // How many requests may wait beside the engine's max_sequences, and how many pieces of work, see
  // Post(); one piece always may.
  int64_t max_waiting = 256;
  int threads = 0;  // threads that the engine computes with; 0 for the process's
};

// The failure of a request whose deadline has passed.
class DeadlineError : public Error {
 public:
  DeadlineError() : Error(ErrorCode::kExhausted, "the request's time is over") {}
};

// A request and its callbacks. They are called on the engine's thread, so they must be quick. A
// request ends in one of three ways, after which no callback is called any more:
// - `on_tokens` is called with `finished` set;
// - `on_tokens` returns false;
// - `on_failure` is called, once; also where `on_tokens` has thrown.
struct LoopRequest {
  GenerationRequest generation;
  // When it passes, the request fails with a DeadlineError.
  std::optional<std::chrono::steady_clock::time_point> deadline;
  TokenCallback on_tokens;
  // Gets what an engine's FailureCallback is told, what Engine::Submit throws, DeadlineError,
  // kInterrupted if the request is cancelled or the loop stops, or kInternal if `on_tokens` or a
  // whole step failed.
  FailureCallback on_failure;
};

struct EngineLoopStats {
  EngineStats engine;
  int64_t open = 0;  // requests that were submitted and have not ended
  int64_t generated_tokens = 0;
  bool accepting = true;
  bool failed = false;  // a step has: nothing is accepted any more
};

// Owns an engine on a thread of its own. Thread-safe.
class EngineLoop {
 public:
  // Starts the thread.
  EngineLoop(std::unique_ptr<Engine> engine, const EngineLoopOptions& options);
  // Calls Stop().
  ~EngineLoop();
  EngineLoop(const EngineLoop&) = delete;
  EngineLoop& operator=(const EngineLoop&) = delete;

  // Queues requests, all of them or none, and returns their numbers. Throws Error: kExhausted if
  // they do not fit into the queue, kInterrupted after Drain() or Stop() or when the engine has
  // failed. An error in a request itself goes to its on_failure.
  std::vector<int64_t> Submit(std::vector<LoopRequest> requests);

  // Ends requests before the next step; ended ones are ignored. Callbacks that are already under
  // way are still called.
  void Cancel(std::span<const int64_t> ids);

  // Queues other work for the engine's thread and its processors, such as scoring. One piece runs
  // between two steps, in order, and delays all requests, so that it should be short. It must not
  // throw. Pieces that never run because the loop stops are destroyed. Throws as Submit does.
  void Post(std::function<void()> work);

  // From now on nothing is accepted; what is there goes on to its end.
  void Drain();
  // Drain(), then ends what is there (kInterrupted) and waits for the thread. Not from callbacks.
  void Stop();

  // As of the last step.
  EngineLoopStats stats() const;
  const EngineOptions& engine_options() const { return engine_options_; }
  // Requests that can be open at once.
  int64_t capacity() const { return engine_options_.max_sequences + options_.max_waiting; }

 private:
  struct Open {
    int64_t engine_id = 0;
    std::optional<std::chrono::steady_clock::time_point> deadline;
    FailureCallback on_failure;
  };

  void RequireAccepting() const;
  void Loop();
  // Takes what other threads have queued; waits for it while there is nothing to do. Returns false
  // when the loop is to stop.
  bool TakeQueued();
  void Begin(int64_t id, LoopRequest request);
  // Hands a request's tokens on. Returns false if it has ended.
  bool Deliver(int64_t id, const TokenCallback& callback, const GeneratedTokens& tokens);
  void Fail(int64_t id, const Error& error);
  void FailLate();
  void FailAll(const Error& error);
  void Close(int64_t id);
  void Step();

  const EngineLoopOptions options_;
  const EngineOptions engine_options_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::deque<std::pair<int64_t, LoopRequest>> submitted_;
  std::vector<int64_t> cancelled_;
  std::deque<std::function<void()>> work_;
  EngineLoopStats stats_;
  int64_t next_id_ = 0;
  bool stopping_ = false;

  // Used by the engine's thread alone.
  std::unique_ptr<Engine> engine_;
  std::map<int64_t, Open> open_;
  int64_t generated_tokens_ = 0;

  std::mutex join_mutex_;
  std::thread thread_;  // the last member: it uses all others
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_ENGINE_LOOP_H_
