#ifndef BLOCKFORMER_SERVER_ROUTER_H_
#define BLOCKFORMER_SERVER_ROUTER_H_

#include <memory>
#include <string>
#include <vector>

#include "server/access_log.h"
#include "server/connection.h"
#include "server/server_context.h"

namespace blockformer {

struct RouterOptions {
  std::string key;                  // empty for none
  bool check_host = false;          // only names of this machine are taken, see IsLocalHost
  std::string cors_origin;          // whose pages may read answers; empty for nobody, or "*"
  AccessLog* access_log = nullptr;  // a JSON line a request; outlives the router
};

// The server's routes: what is checked of every request before its endpoint sees it, and the small
// endpoints. Used on the I/O thread alone.
class Router : public RequestHandler {
 public:
  // The context outlives it.
  Router(ServerContext* context, RouterOptions options)
      : context_(context), options_(std::move(options)) {}

  void CheckHead(const HttpRequest& request, HttpHeaders* extra_headers) override;
  boost::asio::awaitable<void> Handle(Exchange* exchange) override;
  void Done(const Exchange& exchange, const std::string& client, double seconds) override;

  // From now on requests that compute are refused with 503.
  void Drain() { draining_ = true; }
  // Requests that are being answered.
  int64_t active() const { return active_; }

 private:
  struct Route;
  static const std::vector<Route>& Routes();
  // Throws ApiError: 404, or 405, for which it adds the header that lists the right methods.
  const Route& FindRoute(const HttpRequest& request, HttpHeaders* extra_headers) const;

  HttpResponse Health(const HttpRequest& request);
  HttpResponse Ready(const HttpRequest& request);
  HttpResponse Version(const HttpRequest& request);
  HttpResponse Metrics(const HttpRequest& request);
  HttpResponse Models(const HttpRequest& request);
  HttpResponse Model(const HttpRequest& request);
  HttpResponse OpenApi(const HttpRequest& request);
  HttpResponse Documentation(const HttpRequest& request);
  HttpResponse Page(const HttpRequest& request);
  HttpResponse TokenizerInfo(const HttpRequest& request);

  ServerContext* context_;
  RouterOptions options_;
  bool draining_ = false;
  int64_t active_ = 0;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_ROUTER_H_
