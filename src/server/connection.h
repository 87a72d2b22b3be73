#ifndef BLOCKFORMER_SERVER_CONNECTION_H_
#define BLOCKFORMER_SERVER_CONNECTION_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/api_error.h"
#include "server/byte_stream.h"
#include "server/http_message.h"

namespace blockformer {

struct HttpLimits {
  int64_t max_header_bytes = 16 << 10;
  int64_t max_body_bytes = 4 << 20;
  std::chrono::milliseconds idle_timeout{75'000};     // between requests
  std::chrono::milliseconds receive_timeout{30'000};  // for all of a request
  std::chrono::milliseconds send_timeout{30'000};     // for the client to take each piece
};

class Connection;

// A request that is being answered, once: by Send(), or by BeginStream(), any number of Write() and
// EndStream(). Writing to a client that has gone away, or takes nothing for too long, throws.
class Exchange {
 public:
  Exchange(Connection* connection, HttpRequest request)
      : connection_(connection), request_(std::move(request)) {}

  const HttpRequest& request() const { return request_; }
  boost::asio::awaitable<void> Send(HttpResponse response);
  boost::asio::awaitable<void> BeginStream(HttpResponse head);
  boost::asio::awaitable<void> Write(std::string_view data);
  boost::asio::awaitable<void> EndStream();

  // Calls `on_gone` once if the client goes away before the answer is complete, at once if it
  // already has. Replaces an earlier `on_gone`.
  void WatchClient(std::function<void()> on_gone);

  std::chrono::steady_clock::time_point arrived() const { return arrived_; }
  bool began() const { return status_ != 0; }
  int status() const { return status_; }
  // Headers that every answer gets.
  HttpHeaders extra_headers;
  // For the log.
  int64_t prompt_tokens = 0;
  int64_t generated_tokens = 0;

 private:
  Connection* connection_;
  HttpRequest request_;
  std::chrono::steady_clock::time_point arrived_ = std::chrono::steady_clock::now();
  int status_ = 0;
  BodyFraming framing_ = BodyFraming::kLength;
};

// What answers requests. Called on the I/O thread.
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  // Called when the headers have arrived; throws ApiError to refuse the request before its body is
  // read.
  virtual void CheckHead(const HttpRequest& request, HttpHeaders* extra_headers) = 0;
  // Throws ApiError, also once the stream has begun.
  virtual boost::asio::awaitable<void> Handle(Exchange* exchange) = 0;
  // After each answer, or when the client went away (then began() may be false).
  virtual void Done(const Exchange& exchange, const std::string& client, double seconds) = 0;
};

// One client's connection: reads requests one after the other, checks their form and size, and has
// the handler answer them. Used on the I/O thread alone.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::unique_ptr<ByteStream> stream, const HttpLimits& limits, RequestHandler* handler);

  // Serves the client until the connection is closed. Throws nothing.
  boost::asio::awaitable<void> Run();

  // To be called from time to time: closes the connection if the client is too slow.
  void CloseIfLate(std::chrono::steady_clock::time_point now);
  void Close();

 private:
  friend class Exchange;

  class Parser;  // of one request

  boost::asio::awaitable<void> Serve();
  boost::asio::awaitable<void> AwaitRequest();
  // Reads a request and answers it. Returns false at the end of what the client sends.
  boost::asio::awaitable<bool> ServeRequest();
  // Answers a request, or refuses it, and tells the handler.
  boost::asio::awaitable<void> Finish(Exchange* exchange, const std::optional<ApiError>& refusal);
  // Lets the client read the answer before what it still sends resets the connection.
  boost::asio::awaitable<void> DiscardInput();

  // These read a request; they return false if the client sends nothing, and throw ApiError for
  // what is none.
  boost::asio::awaitable<bool> Receive(HttpRequest* request, HttpHeaders* extra_headers);
  boost::asio::awaitable<bool> ReceiveHead(Parser* parser, HttpRequest* request,
                                           HttpHeaders* extra_headers);
  boost::asio::awaitable<void> AnswerExpectation(const HttpRequest& request);
  boost::asio::awaitable<void> ReceiveBody(Parser* parser);
  // Hands the parser what is in the buffer, which may end with the head. Returns the parser's
  // error, `need_more` among them.
  boost::system::error_code Parse(Parser* parser);
  // Returns false at the end of what the client sends, which must not be within a request.
  boost::asio::awaitable<bool> ReadOn(bool began);
  // Appends to the buffer. Returns the number of bytes.
  boost::asio::awaitable<size_t> ReadMore();

  boost::asio::awaitable<void> Answer(Exchange* exchange);
  boost::asio::awaitable<void> SendError(Exchange* exchange, const ApiError& error);
  boost::asio::awaitable<void> WriteAll(std::string_view data);
  boost::asio::awaitable<void> Watch(int64_t id);
  void StopWatching();
  bool ClientIsGone();
  void SetDeadline(std::chrono::milliseconds time);

  std::unique_ptr<ByteStream> stream_;
  const HttpLimits& limits_;
  RequestHandler* handler_;
  std::string client_;  // its address
  std::string buffer_;  // received and not yet read
  std::chrono::steady_clock::time_point deadline_;
  bool keep_alive_ = true;
  int64_t watch_ = 0;  // the number of the current watch; earlier ones end
  std::function<void()> on_gone_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_CONNECTION_H_
