#ifndef BLOCKFORMER_TEXT_CONVERSATION_H_
#define BLOCKFORMER_TEXT_CONVERSATION_H_

#include <string>

#include "blockformer/error.h"
#include "config/json.h"

namespace blockformer {

// What is wrong with a conversation, by its field: "messages", "messages[0].content[1].text".
class ConversationError : public Error {
 public:
  ConversationError(const std::string& field, const std::string& problem)
      : Error(ErrorCode::kInvalidArgument, field + ": " + problem),
        field_(field),
        problem_(problem) {}

  const std::string& field() const { return field_; }
  const std::string& problem() const { return problem_; }

 private:
  std::string field_;
  std::string problem_;
};

// Roles and fields that are not known here.
enum class UnknownFields {
  kRefuse,  // are wrong
  kKeep,    // are the chat template's, as they are
};

// A conversation in OpenAI's form, as ChatTemplate::Render() takes it: `messages` is a list of at
// least one object with "role" and "content", a text or a list of parts {"type": "text", "text"},
// which are joined. The role "developer" becomes "system". With kRefuse, fields of OpenAI's that
// are empty are left out. Throws ConversationError.
Json ReadConversation(const Json& messages, UnknownFields unknown);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_CONVERSATION_H_
