#include "server/http_message.h"

#include <fmt/format.h>

#include <algorithm>

namespace blockformer {

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

const std::string* HttpRequest::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (EqualIgnoringCase(key, name)) return &value;
  }
  return nullptr;
}

const char* ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Error";
  }
}

HttpResponse JsonResponse(const OrderedJson& json) {
  return {200, "application/json", ToText(json), {}};
}

HttpResponse EventStreamHead() {
  return {200, "text/event-stream", "", {{"Cache-Control", "no-cache"}}};
}

std::string ResponseHead(const HttpResponse& response, BodyFraming framing, bool keep_alive,
                         const std::string& request_id) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", response.status, ReasonOf(response.status));
  const auto add = [&head](std::string_view name, std::string_view value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  if (response.status != 204) add("Content-Type", response.content_type);
  if (framing == BodyFraming::kChunked) add("Transfer-Encoding", "chunked");
  if (framing == BodyFraming::kLength && response.status != 204) {
    size_t size = response.body.size();
    for (const std::string_view piece : response.more_body) size += piece.size();
    add("Content-Length", std::to_string(size));
  }
  add("Connection", keep_alive ? "keep-alive" : "close");
  if (!request_id.empty()) add("X-Request-Id", request_id);
  add("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : response.headers) add(name, value);
  return head + "\r\n";
}

}  // namespace blockformer
