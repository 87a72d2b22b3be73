#ifndef BLOCKFORMER_SERVER_TEXT_THREAD_H_
#define BLOCKFORMER_SERVER_TEXT_THREAD_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <functional>
#include <type_traits>
#include <utility>

#include "server/connection.h"
#include "server/server_context.h"

namespace blockformer {

// A thread for work that would hold up the I/O thread, such as tokenizing a long text. Pieces of
// work wait for each other on the I/O thread, in the order in which they came. Used on that thread
// alone.
class TextThread {
 public:
  // Calls `work` on the thread when its turn comes, and returns or throws what it does. `check` is
  // called on the I/O thread right before: if it throws, `work` is not called. Throws
  // ApiError(429) where `max_waiting` pieces wait already.
  template <typename Work>
  boost::asio::awaitable<std::invoke_result_t<Work>> Run(size_t max_waiting,
                                                         std::function<void()> check, Work work) {
    Turn turn(this, max_waiting, co_await boost::asio::this_coro::executor);
    co_await turn.Await();
    check();
    co_return co_await boost::asio::co_spawn(pool_, Call(std::move(work)),
                                             boost::asio::use_awaitable);
  }

  // Waits for the piece that the thread is at. Nothing may be run after it.
  void Join() { pool_.join(); }

 private:
  // A place in the queue for the thread while it lives. The first in the queue has the thread.
  class Turn {
   public:
    Turn(TextThread* thread, size_t max_waiting, const boost::asio::any_io_executor& executor);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    boost::asio::awaitable<void> Await();

   private:
    TextThread* thread_;
    boost::asio::steady_timer called_;
  };

  template <typename Work>
  static boost::asio::awaitable<std::invoke_result_t<Work>> Call(Work work) {
    co_return work();
  }

  std::deque<Turn*> queue_;
  boost::asio::thread_pool pool_{1};
};

// Bodies from here on are read, and their texts tokenized, on the text thread.
inline constexpr size_t kLongBodyBytes = size_t{16} << 10;

// What `read` makes of the request's body, or throws. It is called on the text thread if the body
// is long, so that it may only use what does not change meanwhile. Throws as TextThread::Run()
// does.
template <typename Read>
boost::asio::awaitable<std::invoke_result_t<Read>> ReadBody(ServerContext* context,
                                                            Exchange* exchange, Read read) {
  if (exchange->request().body.size() < kLongBodyBytes) co_return read();
  co_return co_await context->text_thread->Run(static_cast<size_t>(context->loop->capacity()),
                                               context->RequireWanted(exchange), std::move(read));
}

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_TEXT_THREAD_H_
