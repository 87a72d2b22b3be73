#ifndef BLOCKFORMER_CLI_CHAT_H_
#define BLOCKFORMER_CLI_CHAT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "blockformer/text_generator.h"
#include "config/json.h"
#include "text/chat_template.h"

namespace blockformer {

// A conversation with a model, as its chat template writes it.
class Conversation {
 public:
  // `system`: what the model is told to be; empty: what its template says. Throws
  // Error(kUnsupported) that names the directory if the model has no template.
  Conversation(const std::string& model_directory, const std::string& system);

  // Adds what the user says; returns the text that the model is to continue with its answer.
  std::string Ask(const std::string& text);
  void AddAnswer(const std::string& text);
  // Forgets the oldest question with its answer, and returns the text to continue then; nothing if
  // there is none before the last question.
  std::optional<std::string> ForgetOldest();

 private:
  ChatTemplate template_;
  Json messages_ = Json::array();
};

// The tokens that an answer to `prompt` may have: all that the model's context has left.
int64_t RoomForAnswer(const TextGenerator& generator, const std::string& prompt);

// Talks with whoever sits at the terminal, a line each, until there is no more input. Answers
// appear on standard output as they are made. With `max_tokens` 0 an answer may fill the context.
// Where the context is full, the oldest turns are forgotten, and what cannot be answered is left
// out; standard error says so. Throws Error(kInterrupted) after a stop signal.
void ChatOnTerminal(TextGenerator* generator, Conversation* conversation,
                    const TextOptions& options, int64_t max_tokens);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_CHAT_H_
