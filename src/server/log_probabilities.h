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
// without an entry have null. The token that stands there is among "top_logprobs" too. Offsets
// count characters, from `first_offset` on; -1 where a space of the first token is none of the
// text's.
OrderedJson LegacyLogProbs(const ServedModel& model, std::span<const int32_t> ids,
                           std::span<const std::optional<TokenLogProbabilities>> values,
                           int64_t first_offset);

// The form of /v1/chat/completions: {"content": [{"token", "logprob", "bytes", "top_logprobs"}]}.
OrderedJson ChatLogProbs(const ServedModel& model, std::span<const int32_t> ids,
                         std::span<const std::optional<TokenLogProbabilities>> values);

// Characters of the text of tokens; each counts where its first byte stands.
int64_t CountTextCharacters(const ServedModel& model, std::span<const int32_t> ids);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_LOG_PROBABILITIES_H_
