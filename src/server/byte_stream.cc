#include "server/byte_stream.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <utility>

namespace blockformer {
namespace {

namespace asio = boost::asio;

// What a client may do at any time is no error: it reads as the end.
size_t SizeOrEnd(const boost::system::error_code& error, size_t size) {
  const bool is_end = error == asio::error::eof || error == asio::ssl::error::stream_truncated;
  if (error && !is_end) throw boost::system::system_error(error);
  return error ? 0 : size;
}

class PlainStream : public ByteStream {
 public:
  explicit PlainStream(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}

  asio::awaitable<void> Handshake() override { co_return; }
  asio::awaitable<void> WaitReadable() override {
    return socket_.async_wait(asio::socket_base::wait_read, asio::use_awaitable);
  }
  asio::awaitable<size_t> ReadSome(asio::mutable_buffer buffer) override {
    boost::system::error_code error;
    const size_t size =
        co_await socket_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, error));
    co_return SizeOrEnd(error, size);
  }
  asio::awaitable<void> Write(asio::const_buffer buffer) override {
    co_await asio::async_write(socket_, buffer, asio::use_awaitable);
  }
  asio::ip::tcp::socket& socket() override { return socket_; }

 private:
  asio::ip::tcp::socket socket_;
};

class TlsStream : public ByteStream {
 public:
  TlsStream(asio::ip::tcp::socket socket, asio::ssl::context* context)
      : stream_(std::move(socket), *context) {}

  asio::awaitable<void> Handshake() override {
    return stream_.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
  }
  // What was received already may wait in the stream, so that reading alone tells.
  asio::awaitable<void> WaitReadable() override {
    waiting_size_ = co_await Read(asio::buffer(&waiting_, 1));
  }
  asio::awaitable<size_t> ReadSome(asio::mutable_buffer buffer) override {
    if (!waiting_size_) co_return co_await Read(buffer);
    const size_t size = *std::exchange(waiting_size_, std::nullopt);
    co_return asio::buffer_copy(buffer, asio::buffer(&waiting_, size));
  }
  asio::awaitable<void> Write(asio::const_buffer buffer) override {
    co_await asio::async_write(stream_, buffer, asio::use_awaitable);
  }
  asio::ip::tcp::socket& socket() override { return stream_.next_layer(); }

 private:
  asio::awaitable<size_t> Read(asio::mutable_buffer buffer) {
    boost::system::error_code error;
    const size_t size =
        co_await stream_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, error));
    co_return SizeOrEnd(error, size);
  }

  asio::ssl::stream<asio::ip::tcp::socket> stream_;
  char waiting_ = 0;                    // a byte that WaitReadable has read
  std::optional<size_t> waiting_size_;  // and its size, 0 at the end; nothing if it is not there
};

}  // namespace

std::unique_ptr<ByteStream> MakePlainStream(asio::ip::tcp::socket socket) {
  return std::make_unique<PlainStream>(std::move(socket));
}

std::unique_ptr<ByteStream> MakeTlsStream(asio::ip::tcp::socket socket,
                                          asio::ssl::context* context) {
  return std::make_unique<TlsStream>(std::move(socket), context);
}

}  // namespace blockformer
