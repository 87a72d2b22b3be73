#include "server/connection.h"

#include <fmt/format.h>
#include <poll.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/random.h"
#include "server/request_id.h"

namespace blockformer {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using std::chrono::steady_clock;

constexpr size_t kReadBytes = 16 << 10;
// A piece of a long answer: the client may take `send_timeout` for each, and others have their turn
// between them.
constexpr size_t kSendBytes = 64 << 10;
constexpr auto kNoDeadline = steady_clock::time_point::max();
// How often a client is looked at that has already sent its next request.
constexpr std::chrono::milliseconds kWatchInterval{20};

// Our own form of a request whose head has arrived.
HttpRequest TakeHead(const http::request<http::string_body>& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  const std::string_view target(message.target().data(), message.target().size());
  request.path = std::string(target.substr(0, target.find('?')));
  request.is_http_10 = message.version() == 10;
  for (const auto& field : message) {
    request.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  const std::string* id = request.Header("X-Request-Id");
  request.id = id != nullptr && IsRequestId(*id) ? *id : NewRequestId();
  return request;
}

// Throws what a client is told of a parser's error; that it needs more bytes is none.
void CheckParsed(const boost::system::error_code& error, const HttpLimits& limits) {
  if (!error || error == http::error::need_more) return;
  if (error == http::error::body_limit) {
    throw ApiError(413, fmt::format("the body is longer than the {} bytes that are read",
                                    limits.max_body_bytes));
  }
  if (error == http::error::header_limit) {
    throw ApiError(431, fmt::format("the headers are longer than the {} bytes that are read",
                                    limits.max_header_bytes));
  }
  throw ApiError(400, "this is not HTTP/1.1: " + error.message());
}

}  // namespace

asio::awaitable<void> Exchange::Send(HttpResponse response) {
  status_ = response.status;
  response.headers.insert(response.headers.end(), extra_headers.begin(), extra_headers.end());
  std::string data =
      ResponseHead(response, BodyFraming::kLength, connection_->keep_alive_, request_.id);
  if (request_.method == "HEAD") {
    co_await connection_->WriteAll(data);
    co_return;
  }
  data += response.body;
  for (const std::string_view piece : response.more_body) {  // small ones together
    if (data.size() + piece.size() <= kSendBytes) {
      data += piece;
      continue;
    }
    co_await connection_->WriteAll(data);
    co_await connection_->WriteAll(piece);
    data.clear();
  }
  co_await connection_->WriteAll(data);
}

asio::awaitable<void> Exchange::BeginStream(HttpResponse head) {
  status_ = head.status;
  framing_ = request_.is_http_10 ? BodyFraming::kUntilClose : BodyFraming::kChunked;
  if (request_.is_http_10) connection_->keep_alive_ = false;
  head.headers.insert(head.headers.end(), extra_headers.begin(), extra_headers.end());
  co_await connection_->WriteAll(
      ResponseHead(head, framing_, connection_->keep_alive_, request_.id));
}

asio::awaitable<void> Exchange::Write(std::string_view data) {
  if (data.empty()) co_return;  // an empty chunk would be the end
  if (framing_ == BodyFraming::kUntilClose) {
    co_await connection_->WriteAll(data);
    co_return;
  }
  std::string chunk = fmt::format("{:x}\r\n", data.size());
  chunk.append(data).append("\r\n");
  co_await connection_->WriteAll(chunk);
}

asio::awaitable<void> Exchange::EndStream() {
  if (framing_ == BodyFraming::kChunked) co_await connection_->WriteAll("0\r\n\r\n");
}

void Exchange::WatchClient(std::function<void()> on_gone) {
  connection_->on_gone_ = std::move(on_gone);
  if (connection_->ClientIsGone()) {
    std::exchange(connection_->on_gone_, nullptr)();
    return;
  }
  const int64_t id = ++connection_->watch_;
  asio::co_spawn(
      connection_->stream_->socket().get_executor(),
      [self = connection_->shared_from_this(), id] { return self->Watch(id); }, asio::detached);
}

Connection::Connection(std::unique_ptr<ByteStream> stream, const HttpLimits& limits,
                       RequestHandler* handler)
    : stream_(std::move(stream)), limits_(limits), handler_(handler) {
  boost::system::error_code error;
  const auto endpoint = stream_->socket().remote_endpoint(error);
  if (!error) client_ = endpoint.address().to_string();
  SetDeadline(limits_.idle_timeout);
}

void Connection::SetDeadline(std::chrono::milliseconds time) {
  deadline_ = steady_clock::now() + time;
}

void Connection::CloseIfLate(steady_clock::time_point now) {
  if (now > deadline_) Close();
}

void Connection::Close() {
  boost::system::error_code ignored;
  stream_->socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_->socket().close(ignored);
}

asio::awaitable<void> Connection::Run() {
  const auto self = shared_from_this();
  try {
    co_await stream_->Handshake();
    co_await Serve();
  } catch (const boost::system::system_error&) {
    // The client has gone, or was cut off.
  } catch (const std::exception& error) {
    LogWarning("a connection failed: {}", error.what());
  }
  StopWatching();
  Close();
}

asio::awaitable<void> Connection::Serve() {
  while (keep_alive_) {
    co_await AwaitRequest();
    const bool served = co_await ServeRequest();
    if (!served) co_return;
  }
}

asio::awaitable<void> Connection::AwaitRequest() {
  SetDeadline(limits_.idle_timeout);
  // An idle connection has no buffer.
  if (buffer_.empty()) {
    buffer_.shrink_to_fit();
    co_await stream_->WaitReadable();
  }
  SetDeadline(limits_.receive_timeout);
}

asio::awaitable<bool> Connection::ServeRequest() {
  HttpRequest request;
  HttpHeaders extra_headers;
  std::optional<ApiError> refusal;
  try {
    if (!co_await Receive(&request, &extra_headers)) co_return false;
  } catch (const ApiError& error) {
    refusal = error;
    keep_alive_ = false;  // where the next request begins is not known
  }
  if (request.id.empty()) request.id = NewRequestId();
  Exchange exchange(this, std::move(request));
  exchange.extra_headers = std::move(extra_headers);
  co_await Finish(&exchange, refusal);
  if (refusal) co_await DiscardInput();
  co_return true;
}

asio::awaitable<void> Connection::Finish(Exchange* exchange,
                                         const std::optional<ApiError>& refusal) {
  const auto begin = steady_clock::now();
  std::exception_ptr failure;
  try {
    if (refusal) {
      co_await SendError(exchange, *refusal);
    } else {
      co_await Answer(exchange);
    }
  } catch (...) {
    failure = std::current_exception();
  }
  const std::chrono::duration<double> time = steady_clock::now() - begin;
  handler_->Done(*exchange, client_, time.count());
  if (failure) std::rethrow_exception(failure);
}

asio::awaitable<void> Connection::DiscardInput() {
  boost::system::error_code ignored;
  stream_->socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  buffer_.clear();
  const auto most = static_cast<size_t>(limits_.max_body_bytes);
  for (size_t read = 0; read < most;) {
    const size_t size = co_await ReadMore();
    if (size == 0) co_return;
    read += size;
    buffer_.clear();
  }
}

asio::awaitable<size_t> Connection::ReadMore() {
  const size_t before = buffer_.size();
  buffer_.resize(before + kReadBytes);
  const size_t size = co_await stream_->ReadSome(asio::buffer(buffer_.data() + before, kReadBytes));
  buffer_.resize(before + size);
  co_return size;
}

class Connection::Parser : public http::request_parser<http::string_body> {};

asio::awaitable<bool> Connection::Receive(HttpRequest* request, HttpHeaders* extra_headers) {
  Parser parser;
  parser.header_limit(static_cast<uint32_t>(limits_.max_header_bytes));
  parser.body_limit(static_cast<uint64_t>(limits_.max_body_bytes));
  if (!co_await ReceiveHead(&parser, request, extra_headers)) co_return false;
  if (!parser.is_done()) co_await AnswerExpectation(*request);
  co_await ReceiveBody(&parser);
  request->body = std::move(parser.release().body());
  deadline_ = kNoDeadline;
  co_return true;
}

boost::system::error_code Connection::Parse(Parser* parser) {
  if (buffer_.empty()) return http::error::need_more;
  boost::system::error_code error;
  const size_t used = parser->put(asio::buffer(buffer_), error);
  buffer_.erase(0, used);
  if (!error && used == 0) return http::error::need_more;
  return error;
}

asio::awaitable<bool> Connection::ReceiveHead(Parser* parser, HttpRequest* request,
                                              HttpHeaders* extra_headers) {
  boost::system::error_code error = Parse(parser);
  while (!parser->is_header_done()) {
    CheckParsed(error, limits_);
    if (error == http::error::need_more) {
      const bool goes_on = co_await ReadOn(/*began=*/!buffer_.empty());
      if (!goes_on) co_return false;
    }
    error = Parse(parser);
  }
  *request = TakeHead(parser->get());
  keep_alive_ = keep_alive_ && parser->keep_alive();
  handler_->CheckHead(*request, extra_headers);
  parser->eager(true);
  CheckParsed(error, limits_);  // only now: a refusal by the handler comes first
  co_return true;
}

asio::awaitable<void> Connection::AnswerExpectation(const HttpRequest& request) {
  const std::string* expect = request.Header("Expect");
  if (expect == nullptr) co_return;
  if (!EqualIgnoringCase(*expect, "100-continue")) {
    throw ApiError(417, "Expect: only 100-continue is known");
  }
  co_await WriteAll("HTTP/1.1 100 Continue\r\n\r\n");
  SetDeadline(limits_.receive_timeout);
}

asio::awaitable<void> Connection::ReceiveBody(Parser* parser) {
  while (!parser->is_done()) {
    const boost::system::error_code error = Parse(parser);
    CheckParsed(error, limits_);
    const bool wants_more = error == http::error::need_more && !parser->is_done();
    if (wants_more) co_await ReadOn(/*began=*/true);
  }
}

asio::awaitable<bool> Connection::ReadOn(bool began) {
  // The parser limits headers and bodies; what else it leaves unread has no limit of its own.
  if (buffer_.size() > static_cast<size_t>(limits_.max_header_bytes)) {
    throw ApiError(431,
                   fmt::format("the size of a chunk, or what follows the chunks, is longer than"
                               " the {} bytes that are read",
                               limits_.max_header_bytes));
  }
  const size_t size = co_await ReadMore();
  if (size == 0 && began) throw ApiError(400, "the request ends within its text");
  co_return size > 0;
}

asio::awaitable<void> Connection::Answer(Exchange* exchange) {
  std::optional<ApiError> failure;
  try {
    co_await handler_->Handle(exchange);
  } catch (const ApiError& error) {
    failure = error;
  } catch (const boost::system::system_error&) {
    StopWatching();
    throw;
  } catch (const Error& error) {
    failure = ToApiError(error);
  } catch (const std::exception& error) {
    LogWarning("{} {}: {}", exchange->request().method, exchange->request().path, error.what());
    failure = ApiError(500, "the server failed; its log says more");
  }
  StopWatching();
  if (failure) co_await SendError(exchange, *failure);
}

asio::awaitable<void> Connection::SendError(Exchange* exchange, const ApiError& error) {
  const std::string text = ToText(error.ToJson());
  if (exchange->began()) {
    co_await exchange->Write(fmt::format("data: {}\n\ndata: [DONE]\n\n", text));
    co_await exchange->EndStream();
    co_return;
  }
  HttpResponse response{error.status(), "application/json", text, {}};
  if (error.status() == 429) response.headers.emplace_back("Retry-After", "1");
  if (error.status() == 401) {
    // A browser asks for the key as a password.
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"blockformer\"");
  }
  co_await exchange->Send(std::move(response));
}

asio::awaitable<void> Connection::WriteAll(std::string_view data) {
  const auto before = deadline_;
  while (!data.empty()) {
    const std::string_view piece = data.substr(0, kSendBytes);
    SetDeadline(limits_.send_timeout);
    co_await stream_->Write(asio::buffer(piece));
    data.remove_prefix(piece.size());
  }
  deadline_ = before;
}

bool Connection::ClientIsGone() {
  pollfd descriptor = {stream_->socket().native_handle(), POLLRDHUP, 0};
  if (descriptor.fd < 0) return true;
  return poll(&descriptor, 1, 0) > 0 && descriptor.revents != 0;
}

asio::awaitable<void> Connection::Watch(int64_t id) {
  boost::system::error_code error;
  const auto token = [&] { return asio::redirect_error(asio::use_awaitable, error); };
  asio::steady_timer timer(stream_->socket().get_executor());
  while (watch_ == id) {
    co_await stream_->socket().async_wait(asio::socket_base::wait_read, token());
    if (watch_ != id) co_return;
    if (ClientIsGone()) {
      if (on_gone_) std::exchange(on_gone_, nullptr)();
      co_return;
    }
    timer.expires_after(kWatchInterval);  // there is data: its next request
    co_await timer.async_wait(token());
  }
}

void Connection::StopWatching() {
  if (!on_gone_) return;
  on_gone_ = nullptr;
  ++watch_;
  boost::system::error_code ignored;
  stream_->socket().cancel(ignored);
}

}  // namespace blockformer
