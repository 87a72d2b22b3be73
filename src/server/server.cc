#include "server/server.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cctype>
#include <csignal>
#include <filesystem>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/program.h"
#include "engine/engine_loop.h"
#include "engine/scorer.h"
#include "engine/text_engine.h"
#include "eval/request_encoder.h"
#include "server/access_log.h"
#include "server/router.h"
#include "server/text_thread.h"

namespace blockformer {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kSweepInterval{250};
constexpr std::chrono::milliseconds kDrainInterval{20};
// For answers to leave after everything was ended.
constexpr std::chrono::milliseconds kFlushTime{1000};

std::string DirectoryName(const std::string& directory) {
  std::filesystem::path path = std::filesystem::absolute(directory).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().string();
}

// "http://host" or "https://host:port", as browsers name a page's origin, or "*" for all.
void RequireOrigin(const std::string& text) {
  std::string_view host = text;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (text.starts_with(scheme)) host.remove_prefix(scheme.size());
  }
  const bool is_host = std::ranges::all_of(host, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("-._:[]").find(c) != std::string_view::npos;
  });
  const bool has_scheme = host.size() < text.size();
  Require(
      text == "*" || (has_scheme && !host.empty() && is_host), ErrorCode::kInvalidArgument,
      "`cors_origin`: \"{}\" is no origin; one such as https://example.org:8080 is wanted, or *",
      text);
}

// Connections are files: as many as the system lets this process have.
void RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

struct Server::Impl {
  Impl(const std::string& directory, const ServerOptions& server_options)
      : options(server_options), acceptor(io), signals(io), sweep_timer(io), drain_timer(io) {
    // A model may take minutes to load: what is wrong with the rest is told before.
    if (!options.cors_origin.empty()) RequireOrigin(options.cors_origin);
    UseTls();
    Bind();
    if (!options.access_log.empty()) log.emplace(options.access_log);
    LoadModel(directory);
    context.model = model.get();
    context.loop = loop.get();
    context.scorer = scorer.get();
    context.text_thread = &text_thread;
    context.request_timeout = options.request_timeout;
    router = std::make_unique<Router>(
        &context,
        RouterOptions{options.api_key, options.api_key.empty() && !options.insecure_listen,
                      options.cors_origin, log ? &*log : nullptr});
    Listen();
  }

  ~Impl() {
    loop->Stop();  // its last calls still reach what they are told to
    text_thread.Join();
  }

  void LoadModel(const std::string& directory) {
    TextModel loaded = TextModel::Load(directory, options.engine);
    ScorerOptions scorer_options;
    scorer_options.max_length = options.engine.max_length;
    scorer = std::make_unique<Scorer>(loaded.model, scorer_options);
    auto engine = std::make_unique<Engine>(loaded.model, loaded.engine_options);
    model = std::make_unique<ServedModel>(
        options.model_name.empty() ? DirectoryName(directory) : options.model_name,
        std::move(loaded.tokenizer), loaded.model->config(), engine->options().max_length);
    model->prefix_id = PrefixTokenId(directory, model->tokenizer, model->config);
    model->chat = ChatFormat::Load(directory, options.engine.plain_text);
    if (!model->chat.problem.empty()) LogWarning("no chats: {}", model->chat.problem);
    EngineLoopOptions loop_options;
    loop_options.max_waiting = options.max_queue;
    loop_options.threads = options.engine.threads;
    loop = std::make_unique<EngineLoop>(std::move(engine), loop_options);
  }

  void UseTls() {
    Require(options.tls_certificate.empty() == options.tls_key.empty(), ErrorCode::kInvalidArgument,
            "`tls_cert` and `tls_key`: both are wanted, or none");
    if (options.tls_key.empty()) return;
    tls.emplace(asio::ssl::context::tls_server);
    boost::system::error_code error;
    tls->use_certificate_chain_file(options.tls_certificate, error);
    Require(!error, ErrorCode::kInvalidArgument, "{}: not a certificate chain in PEM form: {}",
            options.tls_certificate, error.message());
    tls->use_private_key_file(options.tls_key, asio::ssl::context::pem, error);
    Require(!error, ErrorCode::kInvalidArgument, "{}: not the certificate's key in PEM form: {}",
            options.tls_key, error.message());
    SSL_CTX_set_min_proto_version(tls->native_handle(), TLS1_2_VERSION);
  }

  // Takes the port, where nobody is answered yet.
  void Bind() {
    boost::system::error_code error;
    tcp::resolver resolver(io);
    const auto found =
        resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive, error);
    Require(!error && !found.empty(), ErrorCode::kInvalidArgument, "`host`: {}: {}", options.host,
            error.message());
    const tcp::endpoint endpoint = found.begin()->endpoint();
    Require(!options.api_key.empty() || options.insecure_listen || endpoint.address().is_loopback(),
            ErrorCode::kInvalidArgument,
            "`host`: {} can be reached from other machines; give `api_key_file`, or "
            "`insecure_listen` to serve everybody",
            options.host);
    acceptor.open(endpoint.protocol(), error);
    RequirePort(error);
    acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    RequirePort(error);
    acceptor.bind(endpoint, error);
    RequirePort(error);
  }

  void Listen() {
    boost::system::error_code error;
    acceptor.listen(asio::socket_base::max_listen_connections, error);
    RequirePort(error);
  }

  void RequirePort(const boost::system::error_code& error) const {
    Require(!error, ErrorCode::kIo, "{} port {}: {}", options.host, options.port, error.message());
  }

  asio::awaitable<void> Accept() {
    boost::system::error_code error;
    const auto token = [&] { return asio::redirect_error(asio::use_awaitable, error); };
    while (acceptor.is_open()) {
      tcp::socket socket = co_await acceptor.async_accept(token());
      if (error == asio::error::operation_aborted) co_return;
      if (error) {  // such as too many open files: others will close theirs
        asio::steady_timer timer(io, std::chrono::milliseconds(100));
        co_await timer.async_wait(token());
        continue;
      }
      // Beyond the limit the new one is closed: those that are there go on.
      if (std::ssize(connections) >= options.max_connections) continue;
      socket.set_option(tcp::no_delay(true), error);
      auto stream =
          tls ? MakeTlsStream(std::move(socket), &*tls) : MakePlainStream(std::move(socket));
      auto connection = std::make_shared<Connection>(std::move(stream), options.http, router.get());
      connections.insert(connection);
      asio::co_spawn(
          io, [connection] { return connection->Run(); },
          [this, connection](const std::exception_ptr&) { connections.erase(connection); });
    }
  }

  asio::awaitable<void> Sweep() {
    boost::system::error_code error;
    while (!error) {
      sweep_timer.expires_after(kSweepInterval);
      co_await sweep_timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
      if (!draining && loop->stats().failed) BeginShutdown();
      const auto now = steady_clock::now();
      for (const auto& connection : connections) connection->CloseIfLate(now);
    }
  }

  void BeginShutdown() {
    if (std::exchange(draining, true)) {
      drain_end = steady_clock::now();
      return;
    }
    LogInfo("shutting down: {} requests are being answered", router->active());
    drain_end = steady_clock::now() + options.drain_timeout;
    router->Drain();
    asio::co_spawn(
        io, [this] { return Drain(); }, asio::detached);
  }

  asio::awaitable<void> Drain() {
    boost::system::error_code error;
    const auto wait = [&] {
      drain_timer.expires_after(kDrainInterval);
      return drain_timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
    };
    while (router->active() > 0 && steady_clock::now() < drain_end) co_await wait();
    loop->Stop();
    const auto flushed = steady_clock::now() + kFlushTime;
    while (router->active() > 0 && steady_clock::now() < flushed) co_await wait();
    io.stop();
  }

  void Run() {
    asio::co_spawn(io, Accept(), asio::detached);
    asio::co_spawn(io, Sweep(), asio::detached);
    if (options.handle_signals) {
      signals.add(SIGINT);
      signals.add(SIGTERM);
      if (!IsIgnored(SIGHUP)) signals.add(SIGHUP);
      WaitForSignal();
    }
    io.run();
    Require(!loop->stats().failed, ErrorCode::kInternal,
            "the engine has failed; what it had to do is lost, and the server must start anew");
  }

  void WaitForSignal() {
    signals.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      // A terminal that closes sends SIGHUP twice.
      if (number != SIGHUP || !draining) BeginShutdown();
      WaitForSignal();
    });
  }

  const ServerOptions options;
  std::unique_ptr<ServedModel> model;
  std::unique_ptr<Scorer> scorer;
  TextThread text_thread;
  ServerContext context;
  std::optional<AccessLog> log;
  std::unique_ptr<Router> router;
  std::optional<asio::ssl::context> tls;
  // Coroutines and what the loop still has refer to the above and to `io`.
  asio::io_context io{1};
  tcp::acceptor acceptor;
  asio::signal_set signals;
  asio::steady_timer sweep_timer;
  asio::steady_timer drain_timer;
  std::set<std::shared_ptr<Connection>> connections;
  bool draining = false;
  steady_clock::time_point drain_end;
  std::unique_ptr<EngineLoop> loop;
};

Server::Server(const std::string& model_directory, const ServerOptions& options) {
  RaiseFileLimit();
  impl_ = std::make_unique<Impl>(model_directory, options);
}

Server::~Server() = default;

uint16_t Server::port() const { return impl_->acceptor.local_endpoint().port(); }

std::string Server::url() const {
  const auto endpoint = impl_->acceptor.local_endpoint();
  const std::string address = endpoint.address().to_string();
  return fmt::format("{}://{}:{}", impl_->tls ? "https" : "http",
                     endpoint.address().is_v6() ? "[" + address + "]" : address, endpoint.port());
}

void Server::Run() { impl_->Run(); }

void Server::Shutdown() {
  asio::post(impl_->io, [impl = impl_.get()] { impl->BeginShutdown(); });
}

}  // namespace blockformer
