#ifndef BLOCKFORMER_API_OPEN_REQUESTS_H_
#define BLOCKFORMER_API_OPEN_REQUESTS_H_

#include <cstdint>
#include <map>
#include <mutex>

#include "engine/engine_loop.h"

namespace blockformer {

// The requests of an engine that have not ended, by their numbers. Outlives the engine where
// somebody may still want to cancel. Thread-safe.
class OpenRequests {
 public:
  // The loop lives until Detach().
  explicit OpenRequests(EngineLoop* loop) : loop_(loop) {}

  // Queues a request. Throws what EngineLoop::Submit does.
  void Submit(int64_t number, LoopRequest request);
  // Ends a request within a step, if it is open.
  void Cancel(int64_t number);
  // A request has ended. Returns whether it was cancelled before.
  bool Close(int64_t number);
  // From now on the loop is not used.
  void Detach();

 private:
  struct Entry {
    int64_t loop_id = 0;
    bool cancelled = false;
  };

  std::mutex mutex_;  // guards what follows
  EngineLoop* loop_;
  std::map<int64_t, Entry> entries_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_API_OPEN_REQUESTS_H_
