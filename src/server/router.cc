#include "server/router.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <charconv>
#include <ctime>

#include "blockformer/version.h"
#include "server/api_error.h"
#include "server/credentials.h"
#include "server/endpoints.h"
#include "server/openapi.h"
#include "server/server_files.h"

namespace blockformer {
namespace {

constexpr std::string_view kModelPrefix = "/v1/models/";

OrderedJson ModelJson(const ServedModel& model) {
  return {{"id", model.name},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "blockformer"},
          {"max_model_len", model.max_length}};
}

// The text of a path with %HH; what is none stays.
std::string DecodePath(std::string_view path) {
  std::string text;
  for (size_t i = 0; i < path.size(); ++i) {
    uint8_t value = 0;
    bool is_escape = path[i] == '%' && i + 2 < path.size();
    if (is_escape) {
      const char* digits = path.data() + i + 1;
      is_escape = std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2;
    }
    text.push_back(is_escape ? static_cast<char>(value) : path[i]);
    if (is_escape) i += 2;
  }
  return text;
}

bool IsJson(const std::string* content_type) {
  if (content_type == nullptr) return false;
  std::string_view type = *content_type;
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return EqualIgnoringCase(type, "application/json");
}

// What a browser asks before it sends another site's request. Any header may be sent: clients'
// libraries have their own, and none but those that are asked for means anything here.
HttpResponse PreflightResponse(const HttpRequest& request) {
  const std::string* headers = request.Header("Access-Control-Request-Headers");
  return {204,
          "",
          "",
          {{"Access-Control-Allow-Methods", "GET, POST"},
           {"Access-Control-Allow-Headers",
            headers != nullptr ? *headers : "Authorization, Content-Type"},
           {"Access-Control-Max-Age", "3600"}}};
}

// HTML that takes nothing from elsewhere, and stands in nobody else's frame.
HttpResponse PageResponse(std::string html) {
  return {200,
          "text/html; charset=utf-8",
          std::move(html),
          {{"Content-Security-Policy",
            "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; "
            "script-src 'unsafe-inline'; frame-ancestors 'none'"},
           {"Cache-Control", "no-cache"}}};
}

}  // namespace

struct Router::Route {
  const char* method;
  std::string_view path;  // one that ends with "/" stands for all that begin with it, but for "/"
  HttpResponse (Router::*answer)(const HttpRequest& request) = nullptr;
  boost::asio::awaitable<void> (*handle)(ServerContext* context, Exchange* exchange) = nullptr;

  bool Matches(std::string_view wanted) const {
    return path.size() > 1 && path.ends_with('/') ? wanted.starts_with(path) : wanted == path;
  }
};

const std::vector<Router::Route>& Router::Routes() {
  static const std::vector<Route> routes = {
      {"GET", "/health", &Router::Health},
      {"GET", "/ready", &Router::Ready},
      {"GET", "/version", &Router::Version},
      {"GET", "/metrics", &Router::Metrics},
      {"GET", "/v1/models", &Router::Models},
      {"GET", kModelPrefix, &Router::Model},
      {"GET", "/tokenizer_info", &Router::TokenizerInfo},
      {"GET", "/openapi.json", &Router::OpenApi},
      {"GET", "/docs", &Router::Documentation},
      {"GET", "/", &Router::Page},
      {"POST", "/v1/completions", nullptr, HandleCompletions},
      {"POST", "/v1/chat/completions", nullptr, HandleChatCompletions},
      {"POST", "/v1/score", nullptr, HandleScore},
      {"POST", "/tokenize", nullptr, HandleTokenize},
      {"POST", "/detokenize", nullptr, HandleDetokenize},
  };
  return routes;
}

const Router::Route& Router::FindRoute(const HttpRequest& request,
                                       HttpHeaders* extra_headers) const {
  std::string_view method = request.method;
  if (method == "HEAD") method = "GET";
  const Route* other = nullptr;
  for (const Route& route : Routes()) {
    if (!route.Matches(request.path)) continue;
    if (method == route.method) return route;
    other = &route;
  }
  if (other == nullptr) throw ApiError(404, "there is nothing at this path; /docs has a list");
  const bool reads = std::string_view(other->method) == "GET";
  if (extra_headers != nullptr) extra_headers->emplace_back("Allow", reads ? "GET, HEAD" : "POST");
  throw ApiError(405, fmt::format("{} is not for this path; {} is", request.method, other->method));
}

void Router::CheckHead(const HttpRequest& request, HttpHeaders* extra_headers) {
  if (!options_.cors_origin.empty()) {
    extra_headers->emplace_back("Access-Control-Allow-Origin", options_.cors_origin);
    extra_headers->emplace_back("Access-Control-Expose-Headers", "Retry-After, X-Request-Id");
    if (request.method == "OPTIONS") return;  // a browser asks without the key
  }
  const std::string* host = request.Header("Host");
  if (host == nullptr && !request.is_http_10) throw ApiError(400, "the header Host is missing");
  if (options_.check_host && host != nullptr && !IsLocalHost(*host)) {
    throw ApiError(403, "Host: this name is not this machine's; use localhost or its address");
  }
  const bool is_open = request.path == "/health" || options_.key.empty();
  if (!is_open && !IsAuthorized(request.Header("Authorization"), options_.key)) {
    throw ApiError(401, "the API key is missing or wrong; send \"Authorization: Bearer KEY\"", "",
                   "invalid_api_key");
  }
  const Route& route = FindRoute(request, extra_headers);
  if (std::string_view(route.method) != "POST") return;
  if (draining_) throw ApiError(503, "the server is shutting down", "", "shutting_down");
  if (!IsJson(request.Header("Content-Type"))) {
    throw ApiError(415, "Content-Type: application/json is wanted");
  }
}

boost::asio::awaitable<void> Router::Handle(Exchange* exchange) {
  struct Counted {
    explicit Counted(int64_t* value) : count(value) { ++*count; }
    ~Counted() { --*count; }
    int64_t* count;
  };
  const Counted counted(&active_);
  if (exchange->request().method == "OPTIONS") {
    co_await exchange->Send(PreflightResponse(exchange->request()));
    co_return;
  }
  const Route& route = FindRoute(exchange->request(), nullptr);
  if (route.handle != nullptr) {
    co_await route.handle(context_, exchange);
  } else {
    co_await exchange->Send((this->*route.answer)(exchange->request()));
  }
}

void Router::Done(const Exchange& exchange, const std::string& client, double seconds) {
  ServerMetrics& metrics = context_->metrics;
  if (exchange.began()) {
    ++metrics.responses[fmt::format("code=\"{}\"", exchange.status())];
  } else {
    ++metrics.cancelled;
  }
  const HttpRequest& request = exchange.request();
  if (exchange.generated_tokens > 0) metrics.request_seconds.Add(seconds);
  if (options_.access_log == nullptr) return;
  OrderedJson line = {
      {"time", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))},
      {"id", request.id},
      {"client", client},
      {"method", request.method},
      {"path", request.path},
      {"status", exchange.began() ? OrderedJson(exchange.status()) : OrderedJson()},
      {"seconds", seconds}};
  if (exchange.prompt_tokens > 0) line["prompt_tokens"] = exchange.prompt_tokens;
  if (exchange.generated_tokens > 0) line["generated_tokens"] = exchange.generated_tokens;
  options_.access_log->Write(ToText(line));
}

HttpResponse Router::OpenApi(const HttpRequest&) {
  return {200, "application/json", OpenApiText(!options_.key.empty()), {}};
}

HttpResponse Router::Documentation(const HttpRequest&) { return PageResponse(DocumentationPage()); }

HttpResponse Router::Page(const HttpRequest&) {
  return PageResponse(std::string(ServerFile("page.html")));
}

HttpResponse Router::Health(const HttpRequest&) { return JsonResponse({{"status", "ok"}}); }

HttpResponse Router::Ready(const HttpRequest&) {
  if (draining_) throw ApiError(503, "the server is shutting down", "", "shutting_down");
  if (context_->loop->stats().failed) {
    throw ApiError(503, "the engine has failed", "", "shutting_down");
  }
  return JsonResponse({{"status", "ready"}});
}

HttpResponse Router::Version(const HttpRequest&) { return JsonResponse({{"version", kVersion}}); }

HttpResponse Router::Models(const HttpRequest&) {
  return JsonResponse(
      {{"object", "list"}, {"data", OrderedJson::array({ModelJson(*context_->model)})}});
}

HttpResponse Router::Model(const HttpRequest& request) {
  const std::string name = DecodePath(std::string_view(request.path).substr(kModelPrefix.size()));
  if (name != context_->model->name) {
    throw ApiError(404, fmt::format("this model is not served; {} is", context_->model->name),
                   "model", "model_not_found");
  }
  return JsonResponse(ModelJson(*context_->model));
}

HttpResponse Router::TokenizerInfo(const HttpRequest&) {
  const ServedModel& model = *context_->model;
  const std::string end = model.TokenText(static_cast<int32_t>(model.config.eos_token_id));
  const std::optional<ChatTemplate>& chat = model.chat.chat_template;
  return JsonResponse({{"tokenizer_class", "blockformer"},
                       {"vocab_size", model.tokenizer.VocabSize()},
                       {"model_max_length", model.max_length},
                       {"eos_token", end},
                       {"eos_token_id", model.config.eos_token_id},
                       {"bos_token", nullptr},
                       {"pad_token", nullptr},
                       {"chat_template", chat ? OrderedJson(chat->text()) : OrderedJson()}});
}

HttpResponse Router::Metrics(const HttpRequest&) {
  const EngineLoopStats stats = context_->loop->stats();
  const ServerMetrics& counted = context_->metrics;
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  MetricsWriter writer(fmt::format("model_name=\"{}\"", EscapeLabel(context_->model->name)));
  // Names of vLLM's where the meaning is the same.
  writer.Gauge("vllm:num_requests_running", "Sequences that take part in steps.",
               number(stats.engine.running));
  writer.Gauge("vllm:num_requests_waiting", "Sequences that wait for a place or for pages.",
               number(stats.open - stats.engine.running));
  writer.Gauge(
      "vllm:kv_cache_usage_perc", "Share of the KV cache's pages that are in use, 0 to 1.",
      stats.engine.pages == 0 ? 0 : number(stats.engine.pages_in_use) / number(stats.engine.pages));
  const double unit = number(context_->model->config.UnitLength());
  writer.Counter(
      "vllm:prefix_cache_queries_total", "Prompt tokens that were looked for in the cache.",
      unit * number(stats.engine.cached_prompt_units + stats.engine.computed_prompt_units));
  writer.Counter("vllm:prefix_cache_hits_total", "Prompt tokens that were found in the cache.",
                 unit * number(stats.engine.cached_prompt_units));
  writer.Counter("vllm:num_preemptions_total", "Sequences that gave up their pages.",
                 number(stats.engine.preemptions));
  writer.Counter("vllm:prompt_tokens_total", "Tokens of prompts.", number(counted.prompt_tokens));
  writer.Counter("vllm:generation_tokens_total", "Tokens that were generated.",
                 number(stats.generated_tokens));
  writer.Counters("vllm:request_success_total", "Sequences that came to their end.",
                  counted.finished);
  writer.Write("vllm:time_to_first_token_seconds",
               "Time from a request to the first tokens of each of its sequences.",
               counted.first_token);
  writer.Write("vllm:inter_token_latency_seconds",
               "Time between tokens; those of a block share its time.", counted.inter_token);
  writer.Write("vllm:e2e_request_latency_seconds", "Time of whole requests that generated.",
               counted.request_seconds);
  // Ours.
  writer.Counter("blockformer:steps_total", "Steps of the engine.", number(stats.engine.steps));
  writer.Counter("blockformer:computed_prompt_units_total",
                 "Units (blocks, or tokens of a vanilla model) of prompts that were computed.",
                 number(stats.engine.computed_prompt_units));
  writer.Counter("blockformer:scored_tokens_total", "Tokens that passed through the scorer.",
                 number(counted.scored_tokens));
  writer.Gauge(
      "blockformer:batch_utilisation", "Running sequences over the most that can run.",
      number(stats.engine.running) / number(context_->loop->engine_options().max_sequences));
  writer.Gauge("blockformer:kv_cache_pages_cached",
               "Pages not in use that are kept for prompts that begin alike.",
               number(stats.engine.pages_cached));
  writer.Gauge("blockformer:http_requests_active", "Requests that are being answered.",
               number(active_));
  writer.Counters("blockformer:http_responses_total", "Answers by status.", counted.responses);
  writer.Counter("blockformer:http_requests_abandoned_total",
                 "Requests whose client went away before the answer.", number(counted.cancelled));
  return {200, "text/plain; version=0.0.4; charset=utf-8", writer.text(), {}};
}

}  // namespace blockformer
