#ifndef BLOCKFORMER_SERVER_HTTP_MESSAGE_H_
#define BLOCKFORMER_SERVER_HTTP_MESSAGE_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/json.h"

namespace blockformer {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string path;  // the target's, without the query
  bool is_http_10 = false;
  HttpHeaders headers;
  std::string body;
  std::string id;  // the client's X-Request-Id, or one of ours

  // The first header of this name, whatever its case; null if there is none.
  const std::string* Header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  HttpHeaders headers = {};
  // What follows `body`, in pieces that outlive the response.
  std::vector<std::string_view> more_body = {};
};

// The reason that stands beside a status, such as "Not Found".
const char* ReasonOf(int status);

// Whether texts are equal but for the case of ASCII letters.
bool EqualIgnoringCase(std::string_view a, std::string_view b);

HttpResponse JsonResponse(const OrderedJson& json);

// The response, still without a body, that begins a stream of server-sent events.
HttpResponse EventStreamHead();

// How a client is told where a body ends.
enum class BodyFraming { kLength, kChunked, kUntilClose };

// The status line and the headers of a response, with the empty line.
std::string ResponseHead(const HttpResponse& response, BodyFraming framing, bool keep_alive,
                         const std::string& request_id);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_HTTP_MESSAGE_H_
