// /v1/chat/completions of a tiny model.
#include "devices/devices.h"
#include "tests/server/server_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class ChatTest : public ServerTest {
 protected:
  void WriteTemplate() const {
    WriteFileAtomically(
        directory_ + "/chat_template.jinja",
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
        "{% if messages[0].content == 'bad' %}{{ raise_exception('no') }}{% endif %}");
  }
  static Json Body(const Json& messages, const Json& more = Json::object()) {
    Json body = {{"messages", messages}, {"max_tokens", 12}, {"seed", 3}, {"ignore_eos", true}};
    body.update(more);
    return body;
  }
  static Json Message(const std::string& role, const std::string& content) {
    return {{"role", role}, {"content", content}};
  }
};

TEST_F(ChatTest, AnswersWithTheTemplatesText) {
  WriteTemplate();
  Start();
  const Json messages = Json::array({Message("user", "hello")});
  const Json answer = Post("/v1/chat/completions", Body(messages)).json();
  EXPECT_EQ(answer["object"], "chat.completion");
  const Json choice = answer["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  const Json same = Complete({{"prompt", "<user>hello\n<assistant>"},
                              {"max_tokens", 12},
                              {"seed", 3},
                              {"ignore_eos", true}})
                        .json();
  EXPECT_EQ(choice["message"]["content"], same["choices"][0]["text"]);
  EXPECT_EQ(answer["usage"], same["usage"]);

  const ClientResponse stream =
      Post("/v1/chat/completions",
           Body({{{"role", "user"}, {"content", {{{"type", "text"}, {"text", "hello"}}}}}},
                {{"stream", true}, {"logprobs", true}, {"top_logprobs", 2}}));
  std::string text;
  size_t tokens = 0;
  const std::vector<std::string> events = stream.Events();
  EXPECT_EQ(Json::parse(events[0])["choices"][0]["delta"],
            Json({{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(Json::parse(events[events.size() - 2])["choices"][0]["finish_reason"], "length");
  for (const std::string& event : events) {
    if (event == "[DONE]") continue;
    const Json part = Json::parse(event)["choices"][0];
    text += part["delta"].value("content", "");
    if (!part["logprobs"].is_null()) tokens += part["logprobs"]["content"].size();
  }
  EXPECT_EQ(choice["message"]["content"], text);
  EXPECT_EQ(tokens, 12U);
}

TEST_F(ChatTest, LogProbabilitiesOfAWholeAnswerAreThoseOfItsEvents) {
  WriteTemplate();
  Start();
  const Json messages = Json::array({Message("user", "hello")});
  Json more = {{"logprobs", true}, {"top_logprobs", 2}, {"n", 2}};
  const std::string whole = Post("/v1/chat/completions", Body(messages, more)).body;
  EXPECT_EQ(whole, ToText(OrderedJson::parse(whole)));
  more["stream"] = true;
  std::vector<Json> content(2, Json::array());
  for (const std::string& event : Post("/v1/chat/completions", Body(messages, more)).Events()) {
    if (event == "[DONE]") continue;
    EXPECT_EQ(event, ToText(OrderedJson::parse(event)));
    const Json part = Json::parse(event)["choices"][0];
    if (part["logprobs"].is_null()) continue;
    for (const Json& token : part["logprobs"]["content"]) content[part["index"]].push_back(token);
  }
  const Json choices = Json::parse(whole)["choices"];
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(choices[i]["logprobs"], Json({{"content", content[i]}}));
    for (const Json& token : content[i]) {
      EXPECT_EQ(token["top_logprobs"].size(), 2U);
      EXPECT_TRUE(token["bytes"].is_array() || token["token"] == "<|endoftext|>") << token;
    }
  }
}

TEST_F(ChatTest, SpecialTokensOfMessagesAreTextIfAsked) {
  WriteTemplate();
  options_.engine.plain_text = true;
  Start();
  const auto tokens = [&](const std::string& content) {
    const Json answer =
        Post("/v1/chat/completions", Body(Json::array({Message("user", content)}))).json();
    return answer["usage"]["prompt_tokens"].get<int>();
  };
  EXPECT_EQ(tokens("a<|endoftext|>"), tokens("a") + 13);
}

// What only a whole conversation has is not missed in its beginning.
TEST_F(ChatTest, AConversationMayBeginWithAnAnswer) {
  WriteFileAtomically(directory_ + "/chat_template.jinja",
                      "{% set ns = namespace(asked=false) %}{% for m in messages %}"
                      "{% if m.role == 'user' %}{% set ns.asked = true %}{% endif %}"
                      "<{{ m.role }}>{{ m.content }}{% endfor %}"
                      "{% if not ns.asked %}{{ raise_exception('No user query.') }}{% endif %}");
  Start();
  const Json messages =
      Json::array({Message("system", "s"), Message("assistant", "hello"), Message("user", "x")});
  EXPECT_EQ(Post("/v1/chat/completions", Body(messages)).status, 200);
}

TEST_F(ChatTest, TheNextTurnFindsTheBlocksOfTheLast) {
  WriteTemplate();
  Start();
  // First messages of every length modulo the block's.
  for (size_t i = 0; i < 4; ++i) {
    const double hits = Metric("vllm:prefix_cache_hits_total");
    Json messages =
        Json::array({Message("user", std::string(150 + i, static_cast<char>('a' + i)))});
    const Json first = Post("/v1/chat/completions", Body(messages)).json();
    messages.push_back(first["choices"][0]["message"]);
    messages.push_back(Message("user", "and on"));
    const Json next = Post("/v1/chat/completions", Body(messages)).json();
    EXPECT_EQ(next["object"], "chat.completion");
    EXPECT_GE(Metric("vllm:prefix_cache_hits_total") - hits, 128)
        << "two pages of 16 blocks of 4 tokens";
  }
}

TEST_F(ChatTest, MistakesAreNamed) {
  WriteTemplate();
  Start();
  const std::pair<Json, const char*> cases[] = {
      {Body(Json::array({Message("user", "bad")})), "messages"},
      {Body(Json::array()), "messages"},
      {Body(Json::array({Message("robot", "x")})), "messages[0].role"},
      {Body(Json::array({{{"role", "user"}}})), "messages[0].content"},
      {Body(Json::array({{{"role", "user"}, {"content", "x"}, {"color", 1}}})),
       "messages[0].color"},
      {Body(Json::array({{{"role", "user"}, {"content", Json::array({{{"type", "image_url"}}})}}})),
       "messages[0].content[0].type"},
      {Body(Json::array({Message("user", "x")}), {{"tools", {1}}}), "tools"},
      {Body(Json::array({Message("user", "x")}), {{"logprobs", 2}}), "logprobs"},
      {Body(Json::array({Message("user", "x")}), {{"top_logprobs", 2}}), "top_logprobs"},
      {Body(Json::array({Message("user", "x")}), {{"max_completion_tokens", 5}}), "max_tokens"},
      {Body(Json::array({Message("user", "x")}), {{"max_tokens", 1024}}), "messages"},
      {Body(Json::array({Message("user", "x")}), {{"echo", true}}), "echo"},
  };
  for (const auto& [body, param] : cases) {
    const ClientResponse response = Post("/v1/chat/completions", body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(response.json()["error"]["param"], param) << response.body;
    EXPECT_THAT(response.body, testing::Not(HasSubstr(".jinja")));
  }
  const Json raised = Post("/v1/chat/completions", cases[0].first).json();
  EXPECT_EQ(raised["error"]["message"], "messages: no");
}

TEST_F(ChatTest, AModelWithoutATemplateSaysSo) {
  Start();
  const ClientResponse response =
      Post("/v1/chat/completions", Body(Json::array({Message("user", "x")})));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.json()["error"]["code"], "no_chat_template");
}

}  // namespace
}  // namespace blockformer
