#ifndef BLOCKFORMER_SERVER_LOG_PROBABILITIES_H_
#define BLOCKFORMER_SERVER_LOG_PROBABILITIES_H_

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "config/json.h"
#include "server/served_model.h"

namespace blockformer {

// How likely the model finds a token at its place, and the likeliest ones there; in nats.
struct TokenLogProbs {
  double chosen = 0;
  std::vector<std::pair<int32_t, double>> top;  // the likeliest first
};

// The form of /v1/completions: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}. Tokens
// without an entry have null. The token that stands there is among "top_logprobs" too. Offsets
// count characters, from `first_offset` on.
OrderedJson LegacyLogProbs(const ServedModel& model, std::span<const int32_t> ids,
                           std::span<const std::optional<TokenLogProbs>> values,
                           int64_t first_offset);

// The form of /v1/chat/completions: {"content": [{"token", "logprob", "bytes", "top_logprobs"}]}.
OrderedJson ChatLogProbs(const ServedModel& model, std::span<const int32_t> ids,
                         std::span<const TokenLogProbs> values);

// Characters of the text of tokens; each counts where its first byte stands.
int64_t CountTextCharacters(const ServedModel& model, std::span<const int32_t> ids);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_LOG_PROBABILITIES_H_
