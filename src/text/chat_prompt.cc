#include "text/chat_prompt.h"

#include "base/error.h"

namespace blockformer {
namespace {

// The conversation up to its first answer: the same for all of its turns.
Json FirstTurn(const Json& messages) {
  Json turn = Json::array();
  for (const Json& message : messages) {
    if (message["role"] == "assistant" && !turn.empty()) break;
    turn.push_back(message);
  }
  return turn;
}

// Nothing where the template refuses it: it may raise for what lacks the rest.
std::optional<std::string> RenderFirstTurn(const ChatTemplate& chat_template,
                                           const Json& messages) {
  try {
    return chat_template.Render(FirstTurn(messages), /*add_generation_prompt=*/true);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// With marks before the texts of special tokens.
Json Shielded(const Tokenizer& tokenizer, const Json& value) {
  if (value.is_string()) return tokenizer.Shield(value.get_ref<const std::string&>());
  Json shielded = value;
  if (!value.is_structured()) return shielded;
  for (Json& part : shielded) part = Shielded(tokenizer, part);
  return shielded;
}

}  // namespace

ChatFormat ChatFormat::Load(const std::string& directory, bool plain_text) {
  ChatFormat format;
  try {
    format.chat_template = ChatTemplate::Load(directory);
  } catch (const Error& error) {
    format.problem = error.what();
  }
  if (plain_text) format.tokenizer = Tokenizer::Load(directory, SpecialTokens::kParse);
  return format;
}

std::vector<int32_t> ChatFormat::Encode(std::string_view text, const Tokenizer& prompts) const {
  return tokenizer ? tokenizer->EncodeShielded(text) : prompts.Encode(text);
}

ChatPrompt MakeChatPrompt(const ChatFormat& format, const Json& messages,
                          bool add_generation_prompt, int64_t unit_length,
                          const std::function<std::vector<int32_t>(const std::string&)>& encode) {
  const ChatTemplate& chat_template = *format.chat_template;
  const Json given = format.tokenizer ? Shielded(*format.tokenizer, messages) : messages;
  ChatPrompt prompt;
  prompt.ids = encode(chat_template.Render(given, add_generation_prompt));
  if (const auto first = RenderFirstTurn(chat_template, given)) {
    const int64_t length = std::ssize(encode(*first));
    prompt.left_padding = (unit_length - length % unit_length) % unit_length;
  }
  return prompt;
}

}  // namespace blockformer
