#ifndef BLOCKFORMER_SERVER_BYTE_STREAM_H_
#define BLOCKFORMER_SERVER_BYTE_STREAM_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>

namespace blockformer {

// A client's connection, encrypted or not. Used by the I/O thread alone. What fails throws
// boost::system::system_error.
class ByteStream {
 public:
  virtual ~ByteStream() = default;

  virtual boost::asio::awaitable<void> Handshake() = 0;
  // Returns when there may be something to read, without memory for it.
  virtual boost::asio::awaitable<void> WaitReadable() = 0;
  // Returns 0 at the end of what the client sends.
  virtual boost::asio::awaitable<size_t> ReadSome(boost::asio::mutable_buffer buffer) = 0;
  virtual boost::asio::awaitable<void> Write(boost::asio::const_buffer buffer) = 0;
  virtual boost::asio::ip::tcp::socket& socket() = 0;
};

std::unique_ptr<ByteStream> MakePlainStream(boost::asio::ip::tcp::socket socket);
// The context outlives the stream.
std::unique_ptr<ByteStream> MakeTlsStream(boost::asio::ip::tcp::socket socket,
                                          boost::asio::ssl::context* context);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_BYTE_STREAM_H_
