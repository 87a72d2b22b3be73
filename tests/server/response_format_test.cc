// Texts of a form that the request wants.
#include "server/response_format.h"

#include "tests/server/server_fixture.h"
#include "tests/text/json_validator.h"
#include "tests/text/tiny_tokenizer.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class ResponseFormatTest : public ServerTest {
 protected:
  static Json Schema() {
    return Json::parse(
        R"({"type":"object","properties":{"zip":{"type":"string","minLength":1,"maxLength":4},
            "age":{"type":"integer"},"tags":{"type":"array","items":{"enum":["a","b"]},
            "maxItems":3}},"required":["zip","age"],"additionalProperties":false})");
  }
  // The body's text, in which the properties do not stand in alphabetical order.
  static std::string Body(const Json& more = Json::object()) {
    Json body = {{"prompt", "the end"}, {"max_tokens", 600}, {"seed", 5}};
    body["response_format"] = {{"type", "json_schema"},
                               {"json_schema", {{"name", "person"}, {"schema", "SCHEMA"}}}};
    body.update(more);
    std::string text = body.dump();
    const std::string mark = "\"SCHEMA\"";
    if (text.find(mark) == std::string::npos) return text;
    return text.replace(text.find(mark), mark.size(), kOrderedSchema);
  }
  ClientResponse PostText(const std::string& path, const std::string& body) const {
    return HttpClient(port()).Post(path, body);
  }

  static constexpr char kOrderedSchema[] =
      R"({"type":"object","properties":{"zip":{"type":"string","minLength":1,"maxLength":4},
          "age":{"type":"integer"},"tags":{"type":"array","items":{"enum":["a","b"]},
          "maxItems":3}},"required":["zip","age"],"additionalProperties":false})";

  const JsonValidator validator_{Schema()};
};

TEST_F(ResponseFormatTest, ATextObeysItsSchema) {
  Start();
  for (const double temperature : {0.0, 1.0, 3.0}) {
    const Json answer = PostText("/v1/completions", Body({{"temperature", temperature}})).json();
    const Json& choice = answer["choices"][0];
    const std::string text = choice["text"];
    EXPECT_EQ(choice["finish_reason"], "stop");
    EXPECT_TRUE(validator_.AcceptsText(text)) << text;
    EXPECT_LT(text.find("\"zip\""), text.find("\"age\"")) << text;
  }
}

TEST_F(ResponseFormatTest, ChoicesLogProbabilitiesAndStreams) {
  Start();
  const Json more = {{"n", 3}, {"logprobs", 20}};  // ids that the tokenizer lacks are among them
  const ClientResponse response = PostText("/v1/completions", Body(more));
  ASSERT_EQ(response.status, 200) << response.body;
  const Json choices = response.json()["choices"];
  ASSERT_EQ(choices.size(), 3U);
  std::set<std::string> texts;
  for (const Json& choice : choices) {
    const std::string text = choice["text"];
    EXPECT_TRUE(validator_.AcceptsText(text)) << text;
    EXPECT_EQ(choice["finish_reason"], "stop");
    for (const Json& value : choice["logprobs"]["token_logprobs"]) {
      EXPECT_GT(value.get<double>(), -100) << "of the model, as it was before the mask";
    }
    EXPECT_THAT(choice.dump(), HasSubstr("token_id:26"));
    texts.insert(text);
  }
  EXPECT_GT(texts.size(), 1U);
  Json streamed = more;
  streamed["stream"] = true;
  std::vector<std::string> pieces(3);
  std::vector<Json> reasons(3);
  for (const std::string& event : PostText("/v1/completions", Body(streamed)).Events()) {
    if (event == "[DONE]") continue;
    const Json choice = Json::parse(event)["choices"][0];
    const size_t index = choice["index"];
    pieces[index] += choice["text"];
    reasons[index] = choice["finish_reason"];
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(Json(pieces[i]), choices[i]["text"]);
    EXPECT_EQ(reasons[i], "stop");
  }
}

TEST_F(ResponseFormatTest, StopsAndMaxTokensEndATextEarly) {
  Start();
  const Json cut = PostText("/v1/completions", Body({{"max_tokens", 6}})).json()["choices"][0];
  EXPECT_EQ(cut["finish_reason"], "length");
  EXPECT_EQ(std::string(cut["text"]).find_first_not_of(" \n\r\t{\"zip"), std::string::npos);
  const Json stopped = PostText("/v1/completions", Body({{"stop", "zip"}})).json()["choices"][0];
  EXPECT_EQ(stopped["finish_reason"], "stop");
  EXPECT_TRUE(std::string(stopped["text"]).ends_with("\""));
}

TEST_F(ResponseFormatTest, AnyObject) {
  Start();
  const Json biases = {{std::to_string('"' + 1), 30}, {std::to_string('}' + 1), 15}};
  const Json choice =
      PostText("/v1/completions",
               Body({{"response_format", {{"type", "json_object"}}}, {"logit_bias", biases}}))
          .json()["choices"][0];
  const std::string text = choice["text"];
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_TRUE(Json::parse(text, nullptr, false).is_object()) << text;
}

TEST_F(ResponseFormatTest, Chats) {
  WriteFileAtomically(directory_ + "/chat_template.jinja",
                      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}");
  Start();
  const Json messages = Json::array({{{"role", "user"}, {"content", "Who?"}}});
  const Json answer =
      PostText("/v1/chat/completions", Body({{"prompt", nullptr}, {"messages", messages}})).json();
  ASSERT_FALSE(answer.contains("choices")) << "prompt is no field of chats";
  Json body = Json::parse(Body());
  body.erase("prompt");
  body["messages"] = messages;
  const Json choice = Post("/v1/chat/completions", body).json()["choices"][0];
  EXPECT_TRUE(validator_.AcceptsText(choice["message"]["content"])) << choice;
  EXPECT_EQ(choice["finish_reason"], "stop");
}

TEST_F(ResponseFormatTest, ErrorsNameTheField) {
  Start();
  const std::string in_schema = "response_format.json_schema.schema";
  const auto of_schema = [](const Json& schema) -> Json {
    return {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", schema}}}};
  };
  const std::pair<Json, std::string> cases[] = {
      {"json_object", "response_format"},
      {Json::object(), "response_format.type"},
      {{{"type", "xml"}}, "response_format.type"},
      {{{"type", "json_object"}, {"schema", Json::object()}}, "response_format.schema"},
      {{{"type", "text"}, {"json_schema", Json::object()}}, "response_format.json_schema"},
      {{{"type", "json_schema"}}, "response_format.json_schema"},
      {{{"type", "json_schema"}, {"json_schema", 5}}, "response_format.json_schema"},
      {{{"type", "json_schema"}, {"json_schema", {{"schema", Json::object()}}}},
       "response_format.json_schema.name"},
      {{{"type", "json_schema"}, {"json_schema", {{"name", "a b"}, {"schema", Json::object()}}}},
       "response_format.json_schema.name"},
      {{{"type", "json_schema"}, {"json_schema", {{"name", "a"}}}}, in_schema},
      {{{"type", "json_schema"},
        {"json_schema", {{"name", "a"}, {"schema", Json::object()}, {"strict", 1}}}},
       "response_format.json_schema.strict"},
      {of_schema(5), in_schema},
      {of_schema({{"properties", {{"x", {{"type", "date"}}}}}}), in_schema + ".properties.x.type"},
      {of_schema({{"type", "string"}, {"pattern", "a"}}), in_schema + ".pattern"},
      {of_schema({{"minItems", 2}, {"maxItems", 1}}), in_schema},
      {of_schema({{"enum", Json(std::vector<int>(6000, 1))}}), in_schema},
  };
  for (const auto& [format, param] : cases) {
    const ClientResponse response = Complete({{"prompt", "a"}, {"response_format", format}});
    EXPECT_EQ(response.status, 400) << format;
    const Json error = response.json()["error"];
    EXPECT_EQ(error["param"], param) << format << response.body;
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(param));
  }
  const ClientResponse unending = Complete(
      {{"prompt", "a"}, {"response_format", {{"type", "json_object"}}}, {"ignore_eos", true}});
  EXPECT_EQ(unending.status, 400);
  EXPECT_EQ(unending.json()["error"]["param"], "ignore_eos");
}

}  // namespace
}  // namespace blockformer
