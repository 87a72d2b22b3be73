#ifndef BLOCKFORMER_SERVER_ENGINE_WORK_H_
#define BLOCKFORMER_SERVER_ENGINE_WORK_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "engine/engine_loop.h"
#include "server/api_error.h"

namespace blockformer {

// Runs `work` on the engine's thread between two steps, and waits for its result on the calling
// I/O thread. Throws what it throws, Error(kInterrupted) if the loop stops before, and ApiError as
// Generation::Start does.
template <typename Result>
boost::asio::awaitable<Result> RunOnEngine(EngineLoop* loop, std::function<Result()> work) {
  struct State {
    explicit State(const boost::asio::any_io_executor& executor) : signal(executor) {}
    boost::asio::steady_timer signal;
    std::optional<Result> result;
    std::exception_ptr failure;
    bool done = false;  // used by the I/O thread alone
  };
  const auto executor = co_await boost::asio::this_coro::executor;
  const auto state = std::make_shared<State>(executor);
  state->signal.expires_at(std::chrono::steady_clock::time_point::max());
  // Tells the I/O thread when the loop has let go of the work, done or not.
  std::shared_ptr<void> finish(nullptr, [state, executor](void*) {
    boost::asio::post(executor, [state] {
      state->done = true;
      state->signal.cancel();
    });
  });
  try {
    loop->Post([state, finish = std::move(finish), work = std::move(work)] {
      try {
        state->result = work();
      } catch (...) {
        state->failure = std::current_exception();
      }
    });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kExhausted) throw ToApiError(error);
    throw ApiError(429, error.what(), "", "queue_full");
  }
  while (!state->done) {
    boost::system::error_code ignored;
    co_await state->signal.async_wait(
        boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
  if (state->failure) std::rethrow_exception(state->failure);
  if (!state->result) {
    throw Error(ErrorCode::kInterrupted, "the engine was stopped before this request ended");
  }
  co_return std::move(*state->result);
}

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_ENGINE_WORK_H_
