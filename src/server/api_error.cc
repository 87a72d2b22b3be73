#include "server/api_error.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/placed_error.h"

namespace blockformer {
namespace {

const char* TypeOfStatus(int status) {
  switch (status) {
    case 401:
    case 403:
      return "authentication_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 504:
      return "timeout_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

}  // namespace

OrderedJson ApiError::ToJson() const {
  return {{"error",
           {{"message", what()},
            {"type", TypeOfStatus(status_)},
            {"param", param_.empty() ? OrderedJson() : OrderedJson(param_)},
            {"code", code_.empty() ? OrderedJson() : OrderedJson(code_)}}}};
}

void FailField(const std::string& field, const std::string& problem) {
  throw ApiError(400, fmt::format("{}: {}", field, problem), field);
}

void FailField(const std::string& field, const Error& error) {
  const auto* placed = dynamic_cast<const PlacedError*>(&error);
  if (placed == nullptr) FailField(field, std::string(error.what()));
  // Without the problem, which may hold a part of the client's text.
  LogInfo("a request's field {} was refused at {}", field, placed->place());
  FailField(field, placed->problem());
}

ApiError RequestTimeout() {
  return ApiError(504, "the request's time is over", "", "request_timeout");
}

ApiError ToApiError(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kExhausted:    // by what was asked for
    case ErrorCode::kUnsupported:  // of what was asked for
      return ApiError(400, error.what());
    case ErrorCode::kInterrupted:
      return ApiError(503, error.what(), "", "shutting_down");
    default:
      return ApiError(500, error.what());
  }
}

}  // namespace blockformer
