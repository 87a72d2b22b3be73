#ifndef BLOCKFORMER_SERVER_CHAT_REQUEST_H_
#define BLOCKFORMER_SERVER_CHAT_REQUEST_H_

#include <cstddef>
#include <string>

#include "server/completion_request.h"
#include "text/chat_prompt.h"

namespace blockformer {

// The body of /v1/chat/completions.
struct ChatRequest {
  GenerationSettings settings;  // max_tokens is resolved
  ChatPrompt prompt;
};

inline constexpr size_t kMaxMessages = 4096;

// Throws ApiError(400) that names the field or says that the body is no JSON object, also what the
// template raises, and where the model has no template.
ChatRequest ParseChatRequest(const std::string& body, const ServedModel& model);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_CHAT_REQUEST_H_
