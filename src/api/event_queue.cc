#include "api/event_queue.h"

#include <utility>

namespace blockformer {

void Event::Finish() {
  text = text_bytes.c_str();
  text_size = text_bytes.size();
  ids = id_list.data();
  num_ids = id_list.size();
  log_probabilities = values.empty() ? nullptr : values.data();
  top_ids = top_id_list.empty() ? nullptr : top_id_list.data();
  top_log_probabilities = top_values.empty() ? nullptr : top_values.data();
  message = error_text.c_str();
}

void EventQueue::Open(int64_t request, std::shared_ptr<OpenRequests> engine) {
  const std::lock_guard lock(mutex_);
  open_.emplace(request, std::move(engine));
}

void EventQueue::Forget(int64_t request) {
  {
    const std::lock_guard lock(mutex_);
    open_.erase(request);
  }
  wake_.notify_all();
}

bool EventQueue::Push(std::unique_ptr<Event> event) {
  {
    const std::lock_guard lock(mutex_);
    if (event->finish != BF_GOES_ON) open_.erase(event->request);
    if (closed_) return false;
    events_.push_back(std::move(event));
  }
  wake_.notify_all();
  return true;
}

bf_status EventQueue::Next(std::optional<std::chrono::steady_clock::time_point> until,
                           std::unique_ptr<Event>* event) {
  std::unique_lock lock(mutex_);
  const auto has_news = [this] { return !events_.empty() || open_.empty(); };
  if (!until) {
    wake_.wait(lock, has_news);
  } else if (!wake_.wait_until(lock, *until, has_news)) {
    return BF_TIMEOUT;
  }
  if (events_.empty()) return BF_IDLE;
  *event = std::move(events_.front());
  events_.pop_front();
  return BF_OK;
}

void EventQueue::Close() {
  std::map<int64_t, std::shared_ptr<OpenRequests>> open;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    events_.clear();
    open.swap(open_);
  }
  for (const auto& [request, engine] : open) engine->Cancel(request);
}

}  // namespace blockformer
