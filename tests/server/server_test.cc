// What a server of a tiny model answers.
#include <unistd.h>

#include <csignal>

#include "blockformer/text_generator.h"
#include "blockformer/version.h"
#include "devices/devices.h"
#include "engine/scorer.h"
#include "tests/server/server_fixture.h"
#include "tests/text/character_tokenizer.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class CompletionTest : public ServerTest {
 protected:
  TextGenerator Generator() const {
    GeneratorOptions options;
    options.dtype = "int8";
    options.max_length = 1024;
    return TextGenerator::Load(directory_, options);
  }
  static TextOptions Options(int64_t max_tokens, uint64_t seed) {
    TextOptions options;
    options.max_tokens = max_tokens;
    options.temperature = 1;
    options.seed = seed;
    options.ignore_end_of_text = true;
    return options;
  }
  static Json Body(const Json& more = Json::object()) {
    Json body = {{"prompt", "the end"}, {"max_tokens", 20}, {"seed", 5}, {"ignore_eos", true}};
    body.update(more);
    return body;
  }
};

TEST_F(CompletionTest, SmallEndpointsAnswer) {
  Start();
  HttpClient client(port());  // one connection for all
  EXPECT_EQ(client.Get("/health").json()["status"], "ok");
  EXPECT_EQ(client.Get("/ready").status, 200);
  EXPECT_EQ(client.Get("/version").json()["version"], kVersion);
  const Json models = client.Get("/v1/models").json();
  EXPECT_EQ(models["data"][0]["id"], "tiny");
  EXPECT_EQ(models["data"][0]["max_model_len"], 1024);
  EXPECT_EQ(client.Get("/v1/models/tiny").json()["id"], "tiny");
  EXPECT_EQ(client.Get("/v1/models/other").status, 404);
  EXPECT_EQ(client.Get("/tokenizer_info").json()["eos_token"], "<|endoftext|>");
  EXPECT_EQ(client.Get("/openapi.json").json()["openapi"], "3.1.0");
  EXPECT_THAT(client.Get("/docs").body, HasSubstr("<code>POST /v1/completions</code>"));
  EXPECT_THAT(client.Get("/").body, HasSubstr("<title>blockformer</title>"));
  EXPECT_THAT(client.Get("/metrics").body, HasSubstr("# TYPE vllm:num_requests_running gauge"));
  client.Send("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const ClientResponse head = client.Read(/*has_body=*/false);
  EXPECT_TRUE(head.HasHeader("Content-Length: 15"));
  EXPECT_EQ(client.Get("/version").status, 200) << "HEAD's answer has no body";
}

TEST_F(CompletionTest, AWrongMethodIsToldTheRightOnes) {
  Start();
  const ClientResponse get = Get("/v1/completions");
  EXPECT_EQ(get.status, 405);
  EXPECT_TRUE(get.HasHeader("Allow: POST"));
  EXPECT_TRUE(Post("/health", {}).HasHeader("Allow: GET, HEAD"));
}

TEST_F(CompletionTest, TextsAreThoseOfTheGenerator) {
  Start();
  const GeneratedText expected = Generator().Generate("the end", Options(20, 5));
  const Json answer = Complete(Body()).json();
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_EQ(answer["choices"][0]["text"], expected.text);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(answer["choices"][0]["logprobs"], nullptr);
  EXPECT_EQ(answer["usage"], Json({{"prompt_tokens", expected.prompt_tokens},
                                   {"completion_tokens", 20},
                                   {"total_tokens", expected.prompt_tokens + 20}}));
}

TEST_F(CompletionTest, ChoicesAreThoseOfABatch) {
  Start();
  std::vector<std::string> expected(4);
  std::vector<std::string> prompts = {"a", "a", "the", "the"};
  size_t next = 0;
  TextGenerator generator = Generator();
  generator.GenerateBatch(
      [&]() -> std::optional<std::string> {
        if (next == prompts.size()) return std::nullopt;
        return prompts[next++];
      },
      Options(20, 5),
      [&](int64_t index, const GeneratedText& result) {
        expected[index] = result.text;
        return true;
      });
  const Json texts = Complete(Body({{"prompt", {"a", "the"}}, {"n", 2}})).json()["choices"];
  ASSERT_EQ(texts.size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(texts[i]["index"], i);
    EXPECT_EQ(texts[i]["text"], expected[i]);
  }
  const Json ids = Complete(Body({{"prompt", {{'a' + 1}, {258}}}, {"n", 2}})).json()["choices"];
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(ids[i]["text"], expected[i]);
}

TEST_F(CompletionTest, AStreamHasTheSameText) {
  Start();
  const std::string expected = Complete(Body()).json()["choices"][0]["text"];
  for (const bool with_usage : {false, true}) {
    Json body = Body({{"stream", true}});
    if (with_usage) body["stream_options"] = {{"include_usage", true}};
    const ClientResponse response = Complete(body);
    EXPECT_TRUE(response.HasHeader("Content-Type: text/event-stream"));
    std::vector<std::string> events = response.Events();
    EXPECT_EQ(events.back(), "[DONE]");
    events.pop_back();
    if (with_usage) {
      EXPECT_EQ(Json::parse(events.back())["usage"]["completion_tokens"], 20);
      EXPECT_EQ(Json::parse(events.back())["choices"], Json::array());
      events.pop_back();
    }
    EXPECT_LE(events.size(), 5U) << "a block of 4 tokens an event";
    EXPECT_GE(events.size(), 2U);
    std::string text;
    for (const std::string& event : events) {
      const Json json = Json::parse(event);
      EXPECT_EQ(json.contains("usage"), with_usage);
      text += json["choices"][0]["text"];
      EXPECT_EQ(json["choices"][0]["finish_reason"],
                event == events.back() ? Json("length") : Json());
    }
    EXPECT_EQ(text, expected);
  }
}

TEST_F(CompletionTest, HttpOneDotZeroGetsAStreamUntilTheEnd) {
  Start();
  HttpClient client(port());
  const std::string body = Body({{"stream", true}}).dump();
  client.Send(
      "POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  const ClientResponse response = client.Read();
  EXPECT_TRUE(response.HasHeader("Connection: close"));
  EXPECT_EQ(response.Events().back(), "[DONE]");
}

TEST_F(CompletionTest, StopsAndEnds) {
  Start();
  const Json whole = Complete(Body({{"logprobs", 0}})).json()["choices"][0];
  const std::string text = whole["text"];
  std::string stop;  // a token in the middle that is a whole character
  for (size_t i = 5; stop.empty() || stop.starts_with("bytes:"); ++i) {
    ASSERT_LT(i, 20U) << "choose another seed";
    stop = whole["logprobs"]["tokens"][i];
  }
  const Json stopped = Complete(Body({{"stop", {"no such text", stop}}})).json()["choices"][0];
  EXPECT_EQ(stopped["finish_reason"], "stop");
  EXPECT_EQ(stopped["text"], text.substr(0, text.find(stop)));
  const int64_t id = Post("/tokenize", {{"prompt", stop}}).json()["tokens"][0];
  const Json ended = Complete(Body({{"stop_token_ids", {id}}})).json()["choices"][0];
  EXPECT_EQ(ended["finish_reason"], "stop");
  EXPECT_EQ(ended["text"], stopped["text"]);
  const Json biased = Complete(Body({{"logit_bias", {{std::to_string(id), 100}}}})).json();
  std::string expected;
  for (int i = 0; i < 20; ++i) expected += stop;
  EXPECT_EQ(biased["choices"][0]["text"], expected);
}

TEST_F(CompletionTest, LogProbabilitiesAreThoseOfTheScorer) {
  Start();
  const auto model = LoadModel(directory_, {"cpu", NumberType::kInt8});
  ScorerOptions scorer_options;
  scorer_options.max_length = 1024;
  Scorer scorer(model, scorer_options);
  const std::vector<int32_t> ids =
      Post("/tokenize", {{"prompt", "the same text"}}).json()["tokens"].get<std::vector<int32_t>>();
  const auto expected = ScoreAll(&scorer, {{ids, std::ssize(ids) - 1, 3}})[0];
  const Json choice =
      Complete({{"prompt", "the same text"}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 3}})
          .json()["choices"][0];
  EXPECT_EQ(choice["text"], "the same text");
  const Json& values = choice["logprobs"];
  ASSERT_EQ(values["tokens"].size(), ids.size());
  EXPECT_EQ(values["token_logprobs"][0], nullptr);
  EXPECT_EQ(values["top_logprobs"][0], nullptr);
  EXPECT_EQ(values["text_offset"][1], 3) << "\"the\" is one token";
  for (size_t i = 1; i < ids.size(); ++i) {
    EXPECT_EQ(values["token_logprobs"][i].get<double>(), expected[i - 1].log_likelihood);
    const std::string token = values["tokens"][i];
    const auto top = values["top_logprobs"][i].get<std::map<std::string, double>>();
    EXPECT_EQ(top.at(token), expected[i - 1].log_likelihood);
    EXPECT_GE(top.size(), 3U);
    double largest = -1e9;
    for (const auto& [name, value] : top) largest = std::max(largest, value);
    EXPECT_EQ(largest == top.at(token), expected[i - 1].is_largest);
    EXPECT_EQ(largest, expected[i - 1].top[0].log_probability);
  }
  const Json ids_choice =
      Complete({{"prompt", ids}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 3}})
          .json()["choices"][0];
  EXPECT_EQ(ids_choice, choice);
}

// Offsets are into the text of the answer, which has what the prompt wrote.
TEST_F(CompletionTest, OffsetsCountTheSpecialTokensOfAnEchoedPrompt) {
  Start();
  Json body = {{"prompt", "a<|endoftext|>the"}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 0}};
  const Json of_text = Complete(body).json()["choices"][0];
  EXPECT_EQ(of_text["text"], "a<|endoftext|>the");
  const Json& tokens = of_text["logprobs"]["tokens"];
  EXPECT_EQ(tokens[1], "<|endoftext|>");
  EXPECT_EQ(of_text["logprobs"]["text_offset"], Json({0, 1, 14})) << tokens;
  body["prompt"] = Post("/tokenize", {{"prompt", "a<|endoftext|>the"}}).json()["tokens"];
  EXPECT_EQ(Complete(body).json()["choices"][0], of_text);
}

TEST_F(CompletionTest, LongBodiesAreAnsweredAsShortOnes) {
  Start();
  const std::string text = std::string(200'000, 'a');
  const std::string wrong = text + "\", \"inputs\": [}";
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      const Json ids = Post("/tokenize", {{"prompt", text}}).json();
      EXPECT_EQ(ids["count"], 200'000);
      EXPECT_EQ(Post("/detokenize", {{"tokens", ids["tokens"]}}).json()["prompt"], text);
      const Json scores =
          Post("/v1/score", {{"inputs", {{{"context", text}, {"continuation", "b"}}}}}).json();
      EXPECT_EQ(scores["data"][0]["tokens"], 1) << scores;
      EXPECT_EQ(Complete(Body({{"prompt", text}})).status, 400);
      EXPECT_EQ(HttpClient(port()).Post("/tokenize", wrong).status, 400);
      EXPECT_EQ(Complete(Body()).status, 200);
    });
  }
  for (std::thread& client : clients) client.join();
}

// A terminal that closes sends it twice.
TEST_F(CompletionTest, HangingUpLetsRequestsEnd) {
  constexpr int64_t kTokens = 20'000;
  options_.handle_signals = true;
  options_.drain_timeout = std::chrono::minutes(5);
  options_.engine.max_length = kTokens + 64;
  Start();
  HttpClient client(port());
  client.Send(
      HttpClient::PostText("/v1/completions", Body({{"max_tokens", kTokens},
                                                    {"ignore_eos", true},
                                                    {"stream", true},
                                                    {"stream_options", {{"include_usage", true}}}})
                                                  .dump()));
  ASSERT_TRUE(client.ReadMore());  // it runs
  const auto is_draining = [&] {
    try {
      return Get("/ready").status == 503;
    } catch (const std::exception&) {
      return true;  // and has ended already
    }
  };
  kill(getpid(), SIGHUP);
  ASSERT_TRUE(WaitUntil(is_draining));
  kill(getpid(), SIGHUP);
  const std::vector<std::string> events = client.Read().Events();
  ASSERT_GE(events.size(), 2U);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_EQ(Json::parse(events[events.size() - 2])["usage"]["completion_tokens"], kTokens);
  thread_.join();
}

TEST_F(CompletionTest, EchoStandsBeforeWhatIsGenerated) {
  Start();
  const Json plain = Complete(Body({{"logprobs", 1}})).json()["choices"][0];
  const Json echo = Complete(Body({{"logprobs", 1}, {"echo", true}})).json()["choices"][0];
  EXPECT_EQ(echo["text"], "the end" + plain["text"].get<std::string>());
  const size_t prompt = echo["logprobs"]["tokens"].size() - 20;
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(echo["logprobs"]["token_logprobs"][prompt + i],
              plain["logprobs"]["token_logprobs"][i]);
  }
  const ClientResponse stream = Complete(Body({{"logprobs", 1}, {"echo", true}, {"stream", true}}));
  Json tokens = Json::array();
  Json offsets = Json::array();
  for (const std::string& event : stream.Events()) {
    if (event == "[DONE]") continue;
    const Json values = Json::parse(event)["choices"][0]["logprobs"];
    for (const Json& token : values["tokens"]) tokens.push_back(token);
    for (const Json& offset : values["text_offset"]) offsets.push_back(offset);
  }
  EXPECT_EQ(tokens, echo["logprobs"]["tokens"]);
  EXPECT_EQ(offsets, echo["logprobs"]["text_offset"]);
}

// Log-probabilities are written piece by piece: the whole is what a JSON library writes.
TEST_F(CompletionTest, AnswersAreWrittenAsOneObject) {
  Start();
  const auto expect_canonical = [](const std::string& text) {
    EXPECT_EQ(text, ToText(OrderedJson::parse(text)));
  };
  for (const Json& more : {Json{{"logprobs", 2}}, Json{{"logprobs", 2}, {"echo", true}, {"n", 2}},
                           Json{{"logprobs", 0}, {"echo", true}, {"max_tokens", 0}},
                           Json{{"echo", true}, {"prompt", {"a\"b", ""}}},
                           Json{{"logprobs", 1}, {"echo", true}, {"prompt", ""}}}) {
    const std::string whole = Complete(Body(more)).body;
    expect_canonical(whole);
    const OrderedJson answer = OrderedJson::parse(whole);
    EXPECT_THAT(whole, testing::StartsWith(R"({"id":"cmpl-)"));
    EXPECT_THAT(whole, HasSubstr(R"(],"usage":{"prompt_tokens":)"));
    Json events = more;
    events.update({{"stream", true}, {"stream_options", {{"include_usage", true}}}});
    std::map<size_t, Json> lists;  // of all events, by choice
    for (const std::string& event : Complete(Body(events)).Events()) {
      if (event == "[DONE]") continue;
      expect_canonical(event);
      const Json choices = Json::parse(event)["choices"];
      if (choices.empty() || choices[0]["logprobs"].is_null()) continue;
      for (const auto& [name, list] : choices[0]["logprobs"].items()) {
        for (const Json& value : list) lists[choices[0]["index"]][name].push_back(value);
      }
    }
    for (const auto& [index, values] : lists) {
      EXPECT_EQ(values, Json::parse(whole)["choices"][index]["logprobs"]);
    }
    EXPECT_EQ(lists.size(), more.contains("logprobs") ? answer["choices"].size() : 0);
  }
  for (const bool each : {false, true}) {
    expect_canonical(
        Post("/v1/score",
             {{"inputs",
               {{{"text", "the end"}}, {{"text", ""}}, {{"context", "a"}, {"continuation", "b"}}}},
              {"token_log_likelihoods", each}})
            .body);
  }
  expect_canonical(Post("/v1/score", {{"inputs", Json::array()}}).body);
}

TEST_F(CompletionTest, AFailureOfTheTokenizerNamesNoFile) {
  const std::string path = directory_ + "/tokenizer.json";
  Json tokenizer = ReadJsonFile(path);
  tokenizer["pre_tokenizer"] = Json::parse(R"({"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "(a|aa)+$"}, "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})");
  WriteFileAtomically(path, tokenizer.dump());
  Start();
  const std::string text = std::string(200, 'a') + "!";
  for (const ClientResponse& response :
       {Complete({{"prompt", text}}),
        Post("/v1/score", {{"inputs", Json::array({{{"text", text}}})}}),
        Post("/tokenize", {{"prompt", text}})}) {
    EXPECT_EQ(response.status, 400) << response.body;
    EXPECT_THAT(response.body, HasSubstr("the pattern"));
    EXPECT_THAT(response.body, testing::Not(HasSubstr(directory_)));
  }
}

TEST_F(CompletionTest, ScoresPairsAndTexts) {
  Start();
  const Json answer =
      Post("/v1/score",
           {{"inputs", {{{"context", "the"}, {"continuation", " end"}}, {{"text", "the end"}}}},
            {"token_log_likelihoods", true}})
          .json();
  const Json echo =
      Complete({{"prompt", "the end"}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 0}})
          .json()["choices"][0]["logprobs"]["token_logprobs"];
  const Json& pair = answer["data"][0];
  EXPECT_EQ(pair["tokens"], echo.size() - 1);
  double sum = 0;
  for (size_t i = 1; i < echo.size(); ++i) {
    EXPECT_EQ(pair["token_log_likelihoods"][i - 1], echo[i]);
    sum += echo[i].get<double>();
  }
  EXPECT_EQ(pair["log_likelihood"].get<double>(), sum);
  EXPECT_EQ(answer["data"][1]["bytes"], 7);
  EXPECT_EQ(answer["data"][1]["tokens"], echo.size())
      << "the first token too, behind an end of text";
}

TEST_F(CompletionTest, TokensAndTexts) {
  Start();
  const Json tokens =
      Post("/tokenize", {{"prompt", "the \xC3\xA9"}, {"return_token_strs", true}}).json();
  EXPECT_EQ(tokens["tokens"], Json({258, 33, 0xC3 + 1, 0xA9 + 1}));
  EXPECT_EQ(tokens["token_strs"], Json({"the", " ", "bytes:\\xc3", "bytes:\\xa9"}));
  EXPECT_EQ(Post("/detokenize", {{"tokens", tokens["tokens"]}}).json()["prompt"], "the \xC3\xA9");
  const std::string whole = Post("/tokenize", {{"prompt", "a\"b"}}).body;
  EXPECT_EQ(whole, R"({"count":3,"max_model_len":1024,"tokens":[98,35,99],"token_strs":null})");
  const std::string with_texts =
      Post("/tokenize", {{"prompt", "a\"b"}, {"return_token_strs", true}}).body;
  EXPECT_EQ(with_texts,
            R"({"count":3,"max_model_len":1024,"tokens":[98,35,99],"token_strs":["a","\"","b"]})");
}

TEST_F(CompletionTest, TokensOfATextBeyondTheContextAreCounted) {
  Start();
  for (const bool with_texts : {false, true}) {
    const Json tokens = Post("/tokenize", {{"prompt", std::string(100'000, 'a')},
                                           {"return_token_strs", with_texts}})
                            .json();
    EXPECT_EQ(tokens["count"], 100'000);
    EXPECT_EQ(tokens["tokens"].size(), 100'000U);
    EXPECT_EQ(tokens["token_strs"].size(), with_texts ? 100'000U : 0U);
  }
}

// A tokenizer that begins every text with a space, as Llama 2's does.
class SpaceTokenizerTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    ModelConfig config = TinyTextConfig();
    config.vocab_size = kCharacterTokenizerVocabSize;
    WriteTinyModel(directory_, config);
    WriteFileAtomically(directory_ + "/tokenizer.json", CharacterTokenizerJson().dump());
  }
};

TEST_F(SpaceTokenizerTest, TokensKeepTheirSpacesAndOffsetsAreTheTexts) {
  Start();
  const Json ids = Post("/tokenize", {{"prompt", "hello hel"}, {"return_token_strs", true}}).json();
  EXPECT_EQ(ids["token_strs"], Json({"<s>", " hel", "l", "o", " hel"}));
  const Json body = {{"prompt", "hello hel"},
                     {"max_tokens", 3},
                     {"ignore_eos", true},
                     {"echo", true},
                     {"logprobs", 5}};
  const Json choice = Complete(body).json()["choices"][0];
  const std::string text = choice["text"];
  EXPECT_THAT(text, testing::StartsWith("hello hel"));
  const Json& tokens = choice["logprobs"]["tokens"];
  const Json& offsets = choice["logprobs"]["text_offset"];
  ASSERT_EQ(offsets.size(), 8U);
  EXPECT_EQ(Json(std::vector<Json>(offsets.begin(), offsets.begin() + 6)),
            Json({0, 0, 3, 4, 5, 9}));
  for (const Json& top : choice["logprobs"]["top_logprobs"]) {
    EXPECT_TRUE(top.is_null() || top.size() >= 5) << "two tokens of one name: " << top;
  }
  EXPECT_EQ(tokens[4], " hel");
}

}  // namespace
}  // namespace blockformer
