#ifndef BLOCKFORMER_SERVER_COMPLETION_REQUEST_H_
#define BLOCKFORMER_SERVER_COMPLETION_REQUEST_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blockformer/sampling.h"
#include "server/request_fields.h"
#include "server/served_model.h"

namespace blockformer {

// How a request wants text to be generated.
struct GenerationSettings {
  int64_t n = 1;            // choices a prompt
  int64_t max_tokens = 16;  // of each choice; -1 for as many as fit behind the prompt
  SamplingOptions sampling;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_ids;
  bool ignore_eos = false;
  std::shared_ptr<JsonTokenMasks> json;      // what "response_format" asks for; null for any text
  std::optional<int64_t> log_probabilities;  // of each token and this many of the likeliest
  bool stream = false;
  bool include_usage = false;  // in a last event of the stream
};

struct CompletionPrompt {
  std::vector<int32_t> ids;
  std::string text;   // the same as text
  size_t hidden = 0;  // ids at the beginning that the tokenizer's template put there, not the text
};

// The body of /v1/completions.
struct CompletionRequest {
  GenerationSettings settings;
  std::vector<CompletionPrompt> prompts;
  bool echo = false;
};

inline constexpr int64_t kMaxChoices = 128;
inline constexpr size_t kMaxPrompts = 4096;
// In one answer: of its tokens, and of the likeliest beside each.
inline constexpr int64_t kMaxLogProbabilities = int64_t{1} << 22;
inline constexpr int64_t kMaxTokens = int64_t{1} << 24;  // that a request may ask for

// All throw ApiError(400) that names the field, or says that the body is no JSON object.
CompletionRequest ParseCompletionRequest(const std::string& body, const ServedModel& model);

// The fields that completions and chats have in common, but "logprobs". A missing "seed" is drawn
// at random. `body` is the text that `fields` were read from.
GenerationSettings ReadGenerationSettings(RequestFields* fields, const std::string& body,
                                          const ServedModel& model);

// Throws ApiError(400) about `field` where the log-probabilities of `tokens` tokens of each of n
// choices are more than an answer has. `lower` says which fields to lower.
void RequireFewLogProbabilities(const GenerationSettings& settings, int64_t tokens,
                                const std::string& field, const std::string& lower);

// Throws ApiError(404) if the field "model" is there and names another one.
void RequireModel(RequestFields* fields, const ServedModel& model);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_COMPLETION_REQUEST_H_
