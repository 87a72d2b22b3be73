#ifndef BLOCKFORMER_SERVER_CHAT_REQUEST_H_
#define BLOCKFORMER_SERVER_CHAT_REQUEST_H_

#include <cstdint>
#include <vector>

#include "server/generation_request.h"

namespace blockformer {

// The body of /v1/chat/completions.
struct ChatRequest {
  GenerationSettings settings;  // max_tokens is resolved
  std::vector<int32_t> prompt;  // the conversation as the model's template writes it
  // The padding that makes the conversation up to its first answer whole blocks: so the blocks of
  // each turn are found in the cache when the next one comes.
  int64_t left_padding = 0;
};

inline constexpr size_t kMaxMessages = 4096;

// Throws ApiError(400) that names the field, also what the template raises, and where the model has
// no template.
ChatRequest ParseChatRequest(const Json& body, const ServedModel& model);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_CHAT_REQUEST_H_
