#ifndef BLOCKFORMER_API_EVENT_QUEUE_H_
#define BLOCKFORMER_API_EVENT_QUEUE_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/open_requests.h"
#include "blockformer/blockformer.h"

namespace blockformer {

// A bf_event with what it points to.
struct Event : bf_event {
  Event() : bf_event{} {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // Sets the pointers, when all is in.
  void Finish();

  std::string text_bytes;
  std::vector<int32_t> id_list;
  std::vector<double> values;        // [ids]
  std::vector<int32_t> top_id_list;  // [ids, num_top]
  std::vector<double> top_values;    // [ids, num_top]
  std::string error_text;
};

// Where the events of requests wait, and which requests are open. Thread-safe.
class EventQueue {
 public:
  // A request whose events will come.
  void Open(int64_t request, std::shared_ptr<OpenRequests> engine);
  // A request that is not to be, after all.
  void Forget(int64_t request);

  // Takes an event; one that is the last of its request closes it. Returns false if the queue is
  // closed, so that nobody wants any.
  bool Push(std::unique_ptr<Event> event);

  // Waits for an event: BF_OK with it, or BF_TIMEOUT or BF_IDLE without.
  bf_status Next(std::optional<std::chrono::steady_clock::time_point> until,
                 std::unique_ptr<Event>* event);

  // Cancels what is open. Events that still come are dropped.
  void Close();

 private:
  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Event>> events_;
  std::map<int64_t, std::shared_ptr<OpenRequests>> open_;
  bool closed_ = false;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_API_EVENT_QUEUE_H_
