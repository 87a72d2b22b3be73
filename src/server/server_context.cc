#include "server/server_context.h"

#include <fmt/format.h>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <memory>

#include "server/api_error.h"
#include "server/connection.h"

namespace blockformer {

void ServerMetrics::Add(const GenerationEvent& event) {
  const int64_t tokens = std::ssize(event.ids);
  if (event.is_first) {
    first_token.Add(event.seconds);
  } else if (tokens > 0) {
    // A step makes a block of tokens; each has its share of the time.
    inter_token.Add(event.seconds / static_cast<double>(tokens), tokens);
  }
  if (event.ended) {
    ++finished[fmt::format("finished_reason=\"{}\"", ApiFinishReason(event.reason))];
  }
}

std::optional<std::chrono::steady_clock::time_point> ServerContext::Deadline(
    const Exchange& exchange) const {
  if (request_timeout.count() == 0) return std::nullopt;
  return exchange.arrived() + request_timeout;
}

std::function<void()> ServerContext::RequireWanted(Exchange* exchange) const {
  const auto is_gone = std::make_shared<bool>(false);
  exchange->WatchClient([is_gone] { *is_gone = true; });
  return [is_gone, deadline = Deadline(*exchange)] {
    if (*is_gone) throw boost::system::system_error(boost::asio::error::connection_reset);
    if (deadline && std::chrono::steady_clock::now() > *deadline) throw RequestTimeout();
  };
}

}  // namespace blockformer
