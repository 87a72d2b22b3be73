#ifndef BLOCKFORMER_SERVER_LOG_PROBABILITIES_H_
#define BLOCKFORMER_SERVER_LOG_PROBABILITIES_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "config/json.h"
#include "runner/sampling.h"
#include "server/served_model.h"

namespace blockformer {

// The form of /v1/completions: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}. Tokens
// without an entry have null. Each token itself is among its "top_logprobs" too. Offsets count
// characters, from `first_offset` on, which is -1 if the first token begins with a space that is
// not part of the text.
OrderedJson LegacyLogProbs(const ServedModel& model, std::span<const int32_t> ids,
                           std::span<const std::optional<TokenLogProbabilities>> values,
                           int64_t first_offset);

// The form of /v1/chat/completions: {"content": [{"token", "logprob", "bytes", "top_logprobs"}]}.
OrderedJson ChatLogProbs(const ServedModel& model, std::span<const int32_t> ids,
                         std::span<const std::optional<TokenLogProbabilities>> values);

// The number of characters in the tokens' text; a character counts for the token with its first
// byte.
int64_t CountTextCharacters(const ServedModel& model, std::span<const int32_t> ids);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_LOG_PROBABILITIES_H_
