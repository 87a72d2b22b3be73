#ifndef BLOCKFORMER_SERVER_SERVED_MODEL_H_
#define BLOCKFORMER_SERVER_SERVED_MODEL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model_config.h"
#include "engine/json_formats.h"
#include "text/chat_prompt.h"
#include "text/tokenizer.h"

namespace blockformer {

// What the server knows of its model without the weights. Immutable, but for what `formats` keeps.
struct ServedModel {
  ServedModel(std::string model_name, Tokenizer model_tokenizer, ModelConfig model_config,
              int64_t length);

  // The ids of a prompt, as `generate` has them; `field` names it. Throws ApiError(400) for a text
  // that has certainly more tokens than `max_length`, without looking at all of it.
  std::vector<int32_t> Encode(std::string_view text, const std::string& field) const;

  // The ids of a text of any length; with `add_special`, they begin with those that the
  // tokenizer's template puts before a text.
  std::vector<int32_t> Tokenize(std::string_view text, const std::string& field,
                                bool add_special) const;

  // The ids of a conversation, as `chat` has them. Throws as Encode() does.
  std::vector<int32_t> EncodeChat(std::string_view text) const;

  // A token as texts of log-probabilities have it: its text, or where its bytes are not whole
  // characters "bytes:\xHH..." of them, as OpenAI does. An id of the model's that the tokenizer
  // lacks is "token_id:N".
  std::string TokenText(int32_t id) const;

  // Characters of a token in a text; one counts for the token with its first byte. A special token
  // is no part of a text that leaves them out.
  int64_t CountCharacters(int32_t id, bool skip_special) const;

  std::string name;
  Tokenizer tokenizer;
  ModelConfig config;
  int32_t prefix_id = 0;  // before scored texts, as PrefixTokenId() has it
  int64_t max_length;     // tokens of a prompt and what is generated
  int64_t created;        // when the server started, in seconds since 1970
  size_t longest_token;   // bytes
  ChatFormat chat;        // its problem is for the server's log: it may name files
  std::unique_ptr<JsonFormats> formats = std::make_unique<JsonFormats>();

 private:
  void RequireMayFit(std::string_view text, const std::string& field) const;
};

// Throws ApiError(400) where a prompt of `prompt_tokens` leaves no room for `max_tokens`.
void RequireFits(const ServedModel& model, int64_t prompt_tokens, int64_t max_tokens,
                 const std::string& field);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_SERVED_MODEL_H_
