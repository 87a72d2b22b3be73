#include "text/chat_template.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "text/tokenizer_config.h"

namespace blockformer {
namespace {

TemplateDialect ChatDialect() {
  TemplateDialect dialect;
  dialect.strict = false;
  dialect.trim_blocks = true;
  return dialect;
}

// A text, or of several that have names the default one; empty if there is none.
std::string TemplateTextOf(const Json& value) {
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

}  // namespace

std::optional<ChatTemplate> ChatTemplate::Load(const std::string& directory) {
  const std::string config_path = directory + "/" + kTokenizerConfigFile;
  const Json config = ReadTokenizerConfig(directory);
  const std::string path = directory + "/" + kChatTemplateFile;
  if (std::filesystem::exists(path)) return ChatTemplate(ReadFile(path), path, config);
  const Json value = config.value("chat_template", Json());
  Require(value.is_null() || value.is_string() || value.is_array(), ErrorCode::kCorrupt,
          "{}: chat_template: a text, or a list of texts with names, is wanted", config_path);
  const std::string text = TemplateTextOf(value);
  if (text.empty()) return std::nullopt;
  return ChatTemplate(text, config_path + ": chat_template", config);
}

ChatTemplate::ChatTemplate(const std::string& text, const std::string& place, const Json& config)
    : text_(text), template_(Template::Parse(text, place, ChatDialect())) {
  record_ = {{"tools", nullptr}, {"documents", nullptr}};
  for (const char* name : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    if (const auto token = NamedToken(config, name)) record_[name] = *token;
  }
}

std::string ChatTemplate::Render(const Json& messages, bool add_generation_prompt) const {
  Json record = record_;
  record["messages"] = messages;
  record["add_generation_prompt"] = add_generation_prompt;
  return template_.Render(record);
}

}  // namespace blockformer
