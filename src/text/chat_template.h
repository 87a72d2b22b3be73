#ifndef BLOCKFORMER_TEXT_CHAT_TEMPLATE_H_
#define BLOCKFORMER_TEXT_CHAT_TEMPLATE_H_

#include <optional>
#include <string>

#include "config/json.h"
#include "text/template.h"

namespace blockformer {

// How a model writes a conversation as one text, as Hugging Face's tokenizers do. Immutable;
// threads may share it.
class ChatTemplate {
 public:
  // Loads the template of a model directory: chat_template.jinja, or else "chat_template" of
  // tokenizer_config.json, which also names the special tokens' texts. Returns nothing if there is
  // none. Throws Error that names the file if the template is not in template.h's language.
  static std::optional<ChatTemplate> Load(const std::string& directory);

  // `config` is the contents of tokenizer_config.json, an object.
  ChatTemplate(const std::string& text, const std::string& place, const Json& config);

  // `messages` is a list of objects with "role" and "content"; with `add_generation_prompt` the
  // text ends where the assistant's answer begins. Throws PlacedError(kInvalidArgument) for what
  // the template raises or cannot do.
  std::string Render(const Json& messages, bool add_generation_prompt) const;

  const std::string& text() const { return text_; }

 private:
  std::string text_;
  Template template_;
  Json record_;  // what the template knows beside the conversation
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_CHAT_TEMPLATE_H_
