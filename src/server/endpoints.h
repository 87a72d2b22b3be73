#ifndef BLOCKFORMER_SERVER_ENDPOINTS_H_
#define BLOCKFORMER_SERVER_ENDPOINTS_H_

#include <boost/asio/awaitable.hpp>

#include "server/connection.h"
#include "server/server_context.h"

namespace blockformer {

// The endpoints that compute: completions.cc, chat_completions.cc and text_endpoints.cc. All throw
// ApiError.
boost::asio::awaitable<void> HandleCompletions(ServerContext* context, Exchange* exchange);
boost::asio::awaitable<void> HandleChatCompletions(ServerContext* context, Exchange* exchange);
boost::asio::awaitable<void> HandleScore(ServerContext* context, Exchange* exchange);
boost::asio::awaitable<void> HandleTokenize(ServerContext* context, Exchange* exchange);
boost::asio::awaitable<void> HandleDetokenize(ServerContext* context, Exchange* exchange);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_ENDPOINTS_H_
