#ifndef BLOCKFORMER_CLI_CHAT_H_
#define BLOCKFORMER_CLI_CHAT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "blockformer/text_generator.h"
#include "config/json.h"
#include "text/chat_prompt.h"

namespace blockformer {

// What a model is to continue.
struct ShownPrompt {
  std::string text;              // to show
  TextGenerator::Prompt prompt;  // the same for the generator
};

// A conversation with a model, as its chat template writes it.
class Conversation {
 public:
  // `system`: what the model is told to be; empty: what its template says. `plain_text`: the texts
  // of special tokens in messages are text, while the template's own are tokens; prompts are ids
  // then. Throws Error(kUnsupported) that names the directory if the model has no template, or one
  // that cannot be read.
  Conversation(const std::string& model_directory, const std::string& system, bool plain_text);

  // Adds what the user says; returns what the model is to continue with its answer.
  ShownPrompt Ask(const std::string& text);
  void AddAnswer(const std::string& text);
  // Forgets the oldest question with its answer, and returns what to continue then; nothing if
  // there is none before the last question.
  std::optional<ShownPrompt> ForgetOldest();

 private:
  ShownPrompt Write() const;

  std::shared_ptr<const ChatFormat> format_;
  Json messages_ = Json::array();
};

// The tokens that an answer to `prompt` may have: all that the model's context has left.
int64_t RoomForAnswer(const TextGenerator& generator, const ShownPrompt& prompt);

// TextGenerator::Generate().
GeneratedText Continue(TextGenerator* generator, const TextGenerator::Prompt& prompt,
                       const TextOptions& options, const TextGenerator::OnText& on_text);

// Talks with whoever sits at the terminal, a line each, until there is no more input. Answers
// appear on standard output as they are made. With `max_tokens` 0 an answer may fill the context.
// Where the context is full, the oldest turns are forgotten, and what cannot be answered is left
// out; standard error says so. Throws Error(kInterrupted) after a stop signal.
void ChatOnTerminal(TextGenerator* generator, Conversation* conversation,
                    const TextOptions& options, int64_t max_tokens);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_CHAT_H_
