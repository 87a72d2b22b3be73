#include "eval/request_encoder.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "text/python_text.h"
#include "text/tokenizer_config.h"
#include "text/utf8.h"

namespace blockformer {

int32_t PrefixTokenId(const std::string& directory, const Tokenizer& tokenizer,
                      const ModelConfig& config) {
  const Json named = ReadTokenizerConfig(directory);
  for (const char* name : {"bos_token", "eos_token"}) {
    const std::optional<std::string> text = NamedToken(named, name);
    const std::optional<int32_t> id = text ? tokenizer.FindToken(*text) : std::nullopt;
    if (id) return *id;
  }
  return static_cast<int32_t>(config.BosTokenId());
}

std::vector<int32_t> EncodeWhole(const Tokenizer& tokenizer, std::string_view text,
                                 int32_t prefix_id) {
  const std::string_view prefix = tokenizer.TokenBytes(prefix_id);
  const bool has_prefix = !prefix.empty() && text.starts_with(prefix);
  return has_prefix ? tokenizer.Encode(text) : tokenizer.EncodeWithPrefix(text);
}

ScoreRequest EncodePair(const Tokenizer& tokenizer, std::string_view context,
                        std::string_view continuation, int64_t max_length, int32_t prefix_id) {
  for (const std::string_view text : {context, continuation}) {
    const size_t invalid = FindInvalidUtf8(text);
    Require(invalid == text.size(), ErrorCode::kInvalidArgument,
            "byte {} of a text is not valid UTF-8", invalid);
  }
  const std::string whole = std::string(context) + std::string(continuation);
  const std::string_view stripped = StripEnd(context);
  // What the template puts before a text is that of the context, where there is one.
  std::vector<int32_t> before;
  if (!stripped.empty()) before = EncodeWhole(tokenizer, stripped, prefix_id);
  ScoreRequest request;
  request.tokens =
      stripped.empty() ? tokenizer.Encode(whole) : EncodeWhole(tokenizer, whole, prefix_id);
  request.scored =
      static_cast<int64_t>(request.tokens.size()) - static_cast<int64_t>(before.size());
  Require(request.scored > 0, ErrorCode::kInvalidArgument,
          "the continuation \"{}\" adds no token to its context: together they have {} tokens, the "
          "context alone {}; move a part of the context's end into the continuation, or leave the "
          "pair out",
          continuation, request.tokens.size(), before.size());
  Require(request.scored <= max_length, ErrorCode::kInvalidArgument,
          "the continuation's {} tokens are more than the {} that the model reads", request.scored,
          max_length);
  // Where a token spans the seam, the context is what its own tokens are.
  std::ranges::copy(before, request.tokens.begin());
  if (!before.empty()) return request;
  // A continuation that begins with that token is its own context for the rest.
  if (request.tokens.front() != prefix_id || request.scored == 1) {
    request.tokens.insert(request.tokens.begin(), prefix_id);
  } else {
    --request.scored;
  }
  return request;
}

std::vector<ScoreRequest> RollingWindows(const std::vector<int32_t>& tokens, int64_t max_length,
                                         int32_t prefix_id) {
  const int64_t count = static_cast<int64_t>(tokens.size());
  std::vector<ScoreRequest> windows;
  for (int64_t begin = 0; begin < count; begin += max_length) {
    const int64_t end = std::min(begin + max_length, count);
    ScoreRequest window;
    window.scored = end - begin;
    const int64_t first = std::max<int64_t>(end - max_length - 1, -1);
    if (first < 0) window.tokens.push_back(prefix_id);
    window.tokens.insert(window.tokens.end(), tokens.begin() + std::max<int64_t>(first, 0),
                         tokens.begin() + end);
    windows.push_back(std::move(window));
  }
  return windows;
}

}  // namespace blockformer
