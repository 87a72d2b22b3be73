#ifndef BLOCKFORMER_SERVER_TEXT_THREAD_H_
#define BLOCKFORMER_SERVER_TEXT_THREAD_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <type_traits>

#include "server/server_context.h"

namespace blockformer {

// Bodies from here on are read, and their texts tokenized, on the text thread.
inline constexpr size_t kLongBodyBytes = size_t{16} << 10;

template <typename Work>
boost::asio::awaitable<std::invoke_result_t<Work>> CallInCoroutine(Work work) {
  co_return work();
}

// What `work` returns or throws, which is about a body of so many bytes. That of a long one is done
// on a thread of its own, one after the other, while the I/O thread goes on with other clients; so
// it may only read what does not change meanwhile.
template <typename Work>
boost::asio::awaitable<std::invoke_result_t<Work>> ReadBody(ServerContext* context, size_t bytes,
                                                            Work work) {
  if (bytes < kLongBodyBytes) co_return work();
  co_return co_await boost::asio::co_spawn(*context->text_thread, CallInCoroutine(std::move(work)),
                                           boost::asio::use_awaitable);
}

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_TEXT_THREAD_H_
