#include "text/conversation.h"

#include <fmt/format.h>

#include <algorithm>

namespace blockformer {
namespace {

// Of OpenAI's messages; null or an empty list says nothing.
constexpr std::string_view kFieldsThatMayBeEmpty[] = {"tool_calls", "refusal", "function_call",
                                                      "audio", "annotations"};

const std::string& TextField(const Json& object, const char* name, const std::string& path) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) {
    throw ConversationError(path + "." + name, "a text is wanted");
  }
  return found->get_ref<const std::string&>();
}

void RequireObject(const Json& value, const std::string& path) {
  if (!value.is_object()) throw ConversationError(path, "an object is wanted");
}

void RefuseOthers(const Json& object, std::initializer_list<std::string_view> known,
                  const std::string& path) {
  for (const auto& [name, value] : object.items()) {
    if (std::ranges::find(known, name) != known.end()) continue;
    const bool may_be_empty =
        std::ranges::find(kFieldsThatMayBeEmpty, name) != std::ranges::end(kFieldsThatMayBeEmpty);
    if (may_be_empty && value.empty()) continue;  // null is empty too
    throw ConversationError(fmt::format("{}.{:.80}", path, name), "is not supported");
  }
}

std::string ReadContent(const Json& message, const std::string& path) {
  const std::string place = path + ".content";
  const Json content = message.value("content", Json());
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) {
    throw ConversationError(place, "a text, or a list of parts that are texts, is wanted");
  }
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string part = fmt::format("{}[{}]", place, i);
    RequireObject(content[i], part);
    if (content[i].value("type", Json("text")) != "text") {
      throw ConversationError(part + ".type", "is not supported; only \"text\" is");
    }
    text += TextField(content[i], "text", part);
    RefuseOthers(content[i], {"type", "text"}, part);
  }
  return text;
}

std::string ReadRole(const Json& message, const std::string& path, UnknownFields unknown) {
  const std::string& role = TextField(message, "role", path);
  if (role == "developer") return "system";
  const bool is_known = role == "system" || role == "user" || role == "assistant";
  if (!is_known && unknown == UnknownFields::kRefuse) {
    throw ConversationError(
        path + ".role",
        fmt::format("\"{:.40}\" is not supported; system, developer, user and assistant are",
                    role));
  }
  return role;
}

Json ReadMessage(const Json& given, const std::string& path, UnknownFields unknown) {
  RequireObject(given, path);
  Json message = unknown == UnknownFields::kKeep ? given : Json::object();
  message["role"] = ReadRole(given, path, unknown);
  message["content"] = ReadContent(given, path);
  if (unknown == UnknownFields::kKeep) return message;
  if (!given.value("name", Json()).is_null()) message["name"] = TextField(given, "name", path);
  RefuseOthers(given, {"role", "content", "name"}, path);
  return message;
}

}  // namespace

Json ReadConversation(const Json& messages, UnknownFields unknown) {
  if (!messages.is_array() || messages.empty()) {
    throw ConversationError("messages", "a list of at least one message is wanted");
  }
  Json conversation = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    conversation.push_back(ReadMessage(messages[i], fmt::format("messages[{}]", i), unknown));
  }
  return conversation;
}

}  // namespace blockformer
