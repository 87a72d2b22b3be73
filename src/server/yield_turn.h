#ifndef BLOCKFORMER_SERVER_YIELD_TURN_H_
#define BLOCKFORMER_SERVER_YIELD_TURN_H_

#include <boost/asio/awaitable.hpp>

namespace blockformer {

// Lets the I/O thread do what else is ready, in the midst of long work.
boost::asio::awaitable<void> YieldTurn();

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_YIELD_TURN_H_
