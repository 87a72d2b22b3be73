#include "server/text_thread.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>

#include "server/api_error.h"

namespace blockformer {

TextThread::Turn::Turn(TextThread* thread, size_t max_waiting,
                       const boost::asio::any_io_executor& executor)
    : thread_(thread), called_(executor, std::chrono::steady_clock::time_point::max()) {
  if (thread->queue_.size() > max_waiting) {
    throw ApiError(429, fmt::format("{} long bodies wait to be read", thread->queue_.size() - 1),
                   "", "queue_full");
  }
  thread->queue_.push_back(this);
}

TextThread::Turn::~Turn() {
  std::deque<Turn*>& queue = thread_->queue_;
  const bool was_first = queue.front() == this;
  queue.erase(std::ranges::find(queue, this));
  if (was_first && !queue.empty()) queue.front()->called_.cancel();
}

boost::asio::awaitable<void> TextThread::Turn::Await() {
  boost::system::error_code ignored;
  while (thread_->queue_.front() != this) {
    co_await called_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
}

}  // namespace blockformer
