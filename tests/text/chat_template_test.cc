#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {
namespace {

using ::testing::HasSubstr;

// In the manner of ChatML (Qwen, SmolLM): a system message of its own if there is none.
constexpr char kChatMl[] = R"({%- if tools %}
    {{- raise_exception('no tools') }}
{%- endif %}
{% for message in messages %}
    {% if loop.first and messages[0]['role'] != 'system' %}
{{- '<|im_start|>system\nYou help.<|im_end|>\n' -}}
    {% endif %}
{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' -}}
{% endfor %}
{% if add_generation_prompt %}
{{- '<|im_start|>assistant\n' -}}
{% endif %}
)";

// In the manner of Mistral: roles have to take turns.
constexpr char kTurns[] = R"({%- set ns = namespace(index=0) -%}
{{- bos_token }}
{%- for message in messages if message.role != 'system' %}
  {%- if (message['role'] == 'user') != (ns.index % 2 == 0) %}
    {{- raise_exception('roles must alternate user/assistant/user/assistant/...') }}
  {%- endif %}
  {%- set ns.index = ns.index + 1 %}
  {%- if message.role == "user" %}
    {%- if loop.last and system_message is defined %}{{ system_message }}{% endif %}
    {{- "[INST] " + message["content"]|trim + "[/INST]" }}
  {%- else %}
    {{- " " ~ message.content | trim ~ eos_token }}
  {%- endif %}
{%- endfor %}
)";

// In the manner of Llama 3: a macro, slices, defaults and dates.
constexpr char kHeaders[] = R"({{- bos_token }}
{%- if not date_string is defined %}{% set date_string = "26 Jul 2024" %}{% endif %}
{%- macro header(role) -%}
<|start_header_id|>{{ role }}<|end_header_id|>

{% endmacro -%}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- header('system') }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- header(message.role) + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- header('assistant') }}
{%- endif %}
)";

const Json kConfig = {{"bos_token", "<s>"}, {"eos_token", {{"content", "</s>"}}}};

Json Messages(std::initializer_list<std::pair<const char*, const char*>> messages) {
  Json list = Json::array();
  for (const auto& [role, content] : messages) {
    list.push_back({{"role", role}, {"content", content}});
  }
  return list;
}

// What is expected was printed by Jinja2 3.1 with the settings of Hugging Face's tokenizers.
TEST(ChatTemplate, WritesConversationsAsJinja2Does) {
  const Json messages = Messages({{"user", " Hi "}, {"assistant", "Hello"}, {"user", "Bye"}});
  EXPECT_EQ(ChatTemplate(kChatMl, "t", kConfig).Render(messages, true),
            "<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n"
            "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(ChatTemplate(kTurns, "t", kConfig).Render(messages, true),
            "<s>[INST] Hi[/INST] Hello</s>[INST] Bye[/INST]");
  EXPECT_EQ(ChatTemplate(kHeaders, "t", kConfig).Render(messages, false),
            "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n"
            "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>");
}

TEST(ChatTemplate, WhiteSpaceAndUndefinedValuesAreAsInJinja2) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n\x0B{% if 1 %}b{% endif %}", "a\nb"},
      {"a\n\u00A0 {% if 1 %}b{% endif %}", "a\nb"},
      {"\u2003{# c #}b", "b"},
      {"x \u00A0{% if 1 %}b{% endif %}", "x \u00A0b"},
      {"a\n\u200B{% if 1 %}b{% endif %}", "a\n\u200Bb"},
      {"{{ nope is iterable }} {{ nope is sequence }} {{ nope is mapping }}", "True True False"},
      {"{{ none is iterable }} {{ nope is string }}", "False False"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(ChatTemplate(text, "t", kConfig).Render(Json::array(), false), expected) << text;
  }
}

TEST(ChatTemplate, WhatTheTemplateRaisesIsAnError) {
  const ChatTemplate chat(kTurns, "t", kConfig);
  try {
    chat.Render(Messages({{"user", "a"}, {"user", "b"}}), true);
    FAIL() << "roles do not take turns";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("roles must alternate"));
  }
}

TEST(ChatTemplate, IsReadFromAModelDirectory) {
  const std::string directory = testing::TempDir() + "/chat-template-test";
  std::filesystem::create_directories(directory);
  const auto write = [&](const Json& config) {
    WriteFileAtomically(directory + "/tokenizer_config.json", config.dump());
  };
  const Json messages = Messages({{"user", "x"}});
  std::filesystem::remove(directory + "/tokenizer_config.json");
  EXPECT_FALSE(ChatTemplate::Load(directory));
  write({{"eos_token", "</s>"}});
  EXPECT_FALSE(ChatTemplate::Load(directory));
  write({{"chat_template", "{{ messages[0].content }}{{ eos_token }}"}, {"eos_token", "</s>"}});
  EXPECT_EQ(ChatTemplate::Load(directory)->Render(messages, true), "x</s>");
  write({{"chat_template",
          {{{"name", "tools"}, {"template", "t"}}, {{"name", "default"}, {"template", "d"}}}}});
  EXPECT_EQ(ChatTemplate::Load(directory)->Render(messages, true), "d");
  write({{"chat_template", 5}});
  EXPECT_THROW(ChatTemplate::Load(directory), Error);
  WriteFileAtomically(directory + "/chat_template.jinja", "own");
  EXPECT_EQ(ChatTemplate::Load(directory)->Render(messages, true), "own");
  WriteFileAtomically(directory + "/chat_template.jinja", "{{ x");
  EXPECT_THROW(ChatTemplate::Load(directory), Error);
  std::filesystem::remove_all(directory);
}

TEST(ChatTemplate, ALongConversationTakesTimeInProportion) {
  Json messages = Json::array();
  const std::string content(1000, 'x');
  for (int i = 0; i < 2000; ++i) messages.push_back({{"role", "user"}, {"content", content}});
  EXPECT_GT(ChatTemplate(kChatMl, "t", kConfig).Render(messages, true).size(), 2'000'000U);
}

}  // namespace
}  // namespace blockformer
