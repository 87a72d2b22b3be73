#include "eval/request_encoder.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace blockformer {

ScoreRequest EncodePair(const Tokenizer& tokenizer, std::string_view context,
                        std::string_view continuation, int64_t max_length, int32_t end_of_text) {
  for (const std::string_view text : {context, continuation}) {
    const size_t invalid = FindInvalidUtf8(text);
    Require(invalid == text.size(), ErrorCode::kInvalidArgument,
            "byte {} of a text is not valid UTF-8", invalid);
  }
  const std::string whole = std::string(context) + std::string(continuation);
  const std::vector<int32_t> before = tokenizer.Encode(StripEnd(context));
  ScoreRequest request;
  request.tokens = tokenizer.Encode(whole);
  request.scored =
      static_cast<int64_t>(request.tokens.size()) - static_cast<int64_t>(before.size());
  Require(request.scored > 0, ErrorCode::kInvalidArgument,
          "the continuation \"{}\" adds no token to its context", continuation);
  Require(request.scored <= max_length, ErrorCode::kInvalidArgument,
          "the continuation's {} tokens are more than the {} that the model reads", request.scored,
          max_length);
  // Where a token spans the seam, the context is what its own tokens are.
  std::ranges::copy(before, request.tokens.begin());
  if (before.empty()) request.tokens.insert(request.tokens.begin(), end_of_text);
  return request;
}

std::vector<ScoreRequest> RollingWindows(const std::vector<int32_t>& tokens, int64_t max_length,
                                         int32_t end_of_text) {
  const int64_t count = static_cast<int64_t>(tokens.size());
  std::vector<ScoreRequest> windows;
  for (int64_t begin = 0; begin < count; begin += max_length) {
    const int64_t end = std::min(begin + max_length, count);
    ScoreRequest window;
    window.scored = end - begin;
    const int64_t first = std::max<int64_t>(end - max_length - 1, -1);
    if (first < 0) window.tokens.push_back(end_of_text);
    window.tokens.insert(window.tokens.end(), tokens.begin() + std::max<int64_t>(first, 0),
                         tokens.begin() + end);
    windows.push_back(std::move(window));
  }
  return windows;
}

}  // namespace blockformer
