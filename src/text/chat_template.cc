#include "text/chat_template.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {
namespace {

constexpr char kChatTemplateFile[] = "chat_template.jinja";
constexpr char kTokenizerConfigFile[] = "tokenizer_config.json";

TemplateDialect ChatDialect() {
  TemplateDialect dialect;
  dialect.strict = false;
  dialect.trim_blocks = true;
  return dialect;
}

// A text, or of several that have names the default one; empty if there is none.
std::string TemplateTextOf(const Json& config) {
  const Json value = config.value("chat_template", Json());
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return "";
  for (const Json& named : value) {
    if (named.is_object() && named.value("name", Json()) == "default" &&
        named.value("template", Json()).is_string()) {
      return named["template"].get<std::string>();
    }
  }
  return "";
}

// A special token stands there as its text, or as an object with it.
Json TokenTextOf(const Json& value) {
  if (value.is_string()) return value;
  if (value.is_object() && value.value("content", Json()).is_string()) return value["content"];
  return nullptr;
}

}  // namespace

std::optional<ChatTemplate> ChatTemplate::Load(const std::string& directory) {
  const std::string config_path = directory + "/" + kTokenizerConfigFile;
  Json config = Json::object();
  if (std::filesystem::exists(config_path)) {
    config = ReadJsonFile(config_path);
    Require(config.is_object(), ErrorCode::kCorrupt, "{}: is no object", config_path);
  }
  const std::string path = directory + "/" + kChatTemplateFile;
  if (std::filesystem::exists(path)) return ChatTemplate(ReadFile(path), path, config);
  const std::string text = TemplateTextOf(config);
  if (text.empty()) return std::nullopt;
  return ChatTemplate(text, config_path + ": chat_template", config);
}

ChatTemplate::ChatTemplate(const std::string& text, const std::string& place, const Json& config)
    : text_(text), template_(Template::Parse(text, place, ChatDialect())) {
  record_ = {{"tools", nullptr}, {"documents", nullptr}};
  for (const char* name : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    const Json token = TokenTextOf(config.value(name, Json()));
    if (!token.is_null()) record_[name] = token;
  }
}

std::string ChatTemplate::Render(const Json& messages, bool add_generation_prompt) const {
  Json record = record_;
  record["messages"] = messages;
  record["add_generation_prompt"] = add_generation_prompt;
  return template_.Render(record);
}

}  // namespace blockformer
