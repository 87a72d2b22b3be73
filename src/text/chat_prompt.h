#ifndef BLOCKFORMER_TEXT_CHAT_PROMPT_H_
#define BLOCKFORMER_TEXT_CHAT_PROMPT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace blockformer {

// How conversations with the model of a directory become tokens.
struct ChatFormat {
  // A template that cannot be read takes the chats away and nothing else: `problem` says why.
  // `plain_text`: the texts of special tokens are text in messages as in prompts, while the
  // template's own are tokens. Throws Error as Tokenizer::Load does.
  static ChatFormat Load(const std::string& directory, bool plain_text);

  // The ids of what the template has written for MakeChatPrompt(). `prompts` is the tokenizer of
  // prompts. Throws what Tokenizer::Encode() does.
  std::vector<int32_t> Encode(std::string_view text, const Tokenizer& prompts) const;

  std::optional<ChatTemplate> chat_template;
  std::string problem;                 // why there is no template, if the directory has one
  std::optional<Tokenizer> tokenizer;  // of the template's texts, with plain_text
};

// A conversation as a model reads it.
struct ChatPrompt {
  std::vector<int32_t> ids;  // as the model's template writes it
  // The padding that makes the conversation up to its first answer whole blocks: so the blocks of
  // each turn are found in the cache when the next one comes. Nothing where the template refuses
  // that part alone.
  std::optional<int64_t> left_padding;
};

// `format` has a template. `encode` is ChatFormat::Encode(), for which texts of special tokens in
// messages are marked, with what a caller adds to it. Throws what Render() and `encode` do.
ChatPrompt MakeChatPrompt(const ChatFormat& format, const Json& messages,
                          bool add_generation_prompt, int64_t unit_length,
                          const std::function<std::vector<int32_t>(const std::string&)>& encode);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_CHAT_PROMPT_H_
