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

ChatPrompt MakeChatPrompt(const ChatTemplate& chat_template, const Json& messages,
                          bool add_generation_prompt, int64_t unit_length,
                          const std::function<std::vector<int32_t>(const std::string&)>& encode) {
  ChatPrompt prompt;
  prompt.ids = encode(chat_template.Render(messages, add_generation_prompt));
  const int64_t first = std::ssize(encode(chat_template.Render(FirstTurn(messages), true)));
  prompt.left_padding = (unit_length - first % unit_length) % unit_length;
  return prompt;
}

}  // namespace blockformer
