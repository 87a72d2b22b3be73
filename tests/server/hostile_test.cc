// What a server does with clients that are wrong, slow, too many or gone.
#include <atomic>

#include "base/random.h"
#include "tests/server/server_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class HostileTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    options_.engine.max_length = 1 << 16;
  }

  // The server still serves, and nothing runs that nobody waits for.
  void ExpectQuiet() const {
    ASSERT_TRUE(WaitUntil([&] { return Open() == 0; }));
    EXPECT_EQ(Complete({{"prompt", "a"}, {"max_tokens", 4}}).status, 200);
  }
};

TEST_F(HostileTest, MistakesInFieldsAreNamed) {
  Start();
  const std::tuple<const char*, const char*, int> cases[] = {
      {R"({})", "prompt", 400},
      {R"({"prompt":null})", "prompt", 400},
      {R"({"prompt":7})", "prompt", 400},
      {R"({"prompt":[]})", "prompt", 400},
      {R"({"prompt":["a",1]})", "prompt", 400},
      {R"({"prompt":[1,"a"]})", "prompt", 400},
      {R"({"prompt":[1,-1]})", "prompt", 400},
      {R"({"prompt":[1,264]})", "prompt", 400},
      {R"({"prompt":[1.5]})", "prompt", 400},
      {R"({"prompt":[[1],["a"]]})", "prompt", 400},
      {R"({"prompt":"a","max_tokens":0})", "max_tokens", 400},
      {R"({"prompt":"a","max_tokens":-1})", "max_tokens", 400},
      {R"({"prompt":"a","max_tokens":1.5})", "max_tokens", 400},
      {R"({"prompt":"a","max_tokens":18446744073709551615})", "max_tokens", 400},
      {R"({"prompt":"a","max_tokens":65536})", "prompt", 400},
      {R"({"prompt":"a","n":0})", "n", 400},
      {R"({"prompt":"a","n":129})", "n", 400},
      {R"({"prompt":"a","temperature":-1})", "temperature", 400},
      {R"({"prompt":"a","temperature":"hot"})", "temperature", 400},
      {R"({"prompt":"a","top_p":0})", "top_p", 400},
      {R"({"prompt":"a","top_k":-2})", "top_k", 400},
      {R"({"prompt":"a","min_p":2})", "min_p", 400},
      {R"({"prompt":"a","repetition_penalty":0})", "repetition_penalty", 400},
      {R"({"prompt":"a","presence_penalty":3})", "presence_penalty", 400},
      {R"({"prompt":"a","frequency_penalty":-3})", "frequency_penalty", 400},
      {R"({"prompt":"a","logit_bias":{"x":1}})", "logit_bias", 400},
      {R"({"prompt":"a","logit_bias":{"01":1}})", "logit_bias", 400},
      {R"({"prompt":"a","logit_bias":{"1":101}})", "logit_bias", 400},
      {R"({"prompt":"a","logit_bias":[]})", "logit_bias", 400},
      {R"({"prompt":"a","stop":1})", "stop", 400},
      {R"({"prompt":"a","stop":""})", "stop", 400},
      {R"({"prompt":"a","stop":["a",1]})", "stop", 400},
      {R"({"prompt":"a","stop_token_ids":["a"]})", "stop_token_ids", 400},
      {R"({"prompt":"a","logprobs":21})", "logprobs", 400},
      {R"({"prompt":"a","logprobs":true})", "logprobs", 400},
      {R"({"prompt":"a","stream":1})", "stream", 400},
      {R"({"prompt":"a","stream_options":{}})", "stream_options", 400},
      {R"({"prompt":"a","stream":true,"stream_options":{"x":1}})", "stream_options.x", 400},
      {R"({"prompt":"a","best_of":2})", "best_of", 400},
      {R"({"prompt":"a","suffix":"x"})", "suffix", 400},
      {R"({"prompt":"a","response_format":{"type":"xml"}})", "response_format.type", 400},
      {R"({"prompt":"a","tools":[]})", "tools", 400},
      {R"({"prompt":"a","max_tokenz":1})", "max_tokenz", 400},
      {R"({"prompt":"a","model":"other"})", "model", 404},
      {R"({"prompt":"a","model":5})", "model", 400},
  };
  HttpClient client(port());
  for (const auto& [body, param, status] : cases) {
    const ClientResponse response = client.Post("/v1/completions", std::string(body));
    EXPECT_EQ(response.status, status) << body;
    const Json error = response.json()["error"];
    EXPECT_EQ(error["param"], param) << body << response.body;
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(param)) << body;
  }
  // What changes nothing is taken.
  const Json harmless = {{"prompt", "a"},
                         {"max_tokens", 4},
                         {"user", "me"},
                         {"best_of", 1},
                         {"suffix", nullptr},
                         {"response_format", {{"type", "text"}}},
                         {"logit_bias", nullptr},
                         {"stop", nullptr},
                         {"top_k", -1},
                         {"store", false},
                         {"metadata", Json::object()},
                         {"stream_options", nullptr}};
  EXPECT_EQ(client.Post("/v1/completions", harmless).status, 200);
}

TEST_F(HostileTest, BodiesThatAreNoJsonAreRefused) {
  Start();
  std::string deep = R"({"prompt":)";
  for (int i = 0; i < 100'000; ++i) deep += '[';
  const std::string cases[] = {"",
                               "{",
                               "[]",
                               "null",
                               R"({"prompt":"a"} x)",
                               R"({"prompt":"a","prompt":"b"})",
                               "{\"prompt\":\"\xFF\"}",
                               R"({"prompt":"\ud800"})",
                               R"({"prompt":1e999})",
                               deep};
  for (const std::string& body : cases) {
    const ClientResponse response = HttpClient(port()).Post("/v1/completions", body);
    EXPECT_EQ(response.status, 400) << body.substr(0, 50);
    EXPECT_EQ(response.json()["error"]["type"], "invalid_request_error");
  }
  ExpectQuiet();
}

TEST_F(HostileTest, FramesThatAreNoHttpAreRefused) {
  options_.http.max_header_bytes = 4096;
  options_.http.max_body_bytes = 1000;
  Start();
  const std::string host = "Host: localhost\r\n";
  const std::string json = "Content-Type: application/json\r\n";
  const std::pair<std::string, int> cases[] = {
      {"\x16\x03\x01\x02", 400},
      {"GET / HTTP/9.9\r\n\r\n", 400},
      {"GET /health\r\n\r\n", 400},
      {"get\r\n\r\n", 400},
      {"GET /health HTTP/1.1\r\n\r\n", 400},  // no Host
      {"GET /health HTTP/1.1\r\nHost localhost\r\n\r\n", 400},
      {"GET /health HTTP/1.1\r\n" + host + "X: \x01\r\n\r\n", 400},
      {"GET /health HTTP/1.1\r\n" + host + "X: " + std::string(5000, 'x') + "\r\n\r\n", 431},
      {"GET /nothing HTTP/1.1\r\n" + host + "\r\n", 404},
      {"GET /v1/completions HTTP/1.1\r\n" + host + "\r\n", 405},
      {"POST /health HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", 405},
      {"POST /v1/completions HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\n{}", 415},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json + "Content-Length: 1001\r\n\r\n", 413},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json + "Content-Length: -1\r\n\r\n", 400},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json +
           "Content-Length: 99999999999999999999\r\n\r\n",
       400},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json +
           "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
       400},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json +
           "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
       400},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json +
           "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
       400},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json + "Transfer-Encoding: chunked\r\n\r\n" +
           "3e9\r\n" + std::string(1001, ' ') + "\r\n0\r\n\r\n",
       413},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json + "Transfer-Encoding: chunked\r\n\r\n" +
           "2;" + std::string(20'000, 'x'),
       431},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json + "Transfer-Encoding: chunked\r\n\r\n" +
           std::string(20'000, '0'),
       431},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json + "Transfer-Encoding: chunked\r\n\r\n" +
           "0\r\nX: " + std::string(20'000, 'x'),
       431},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json +
           "Expect: magic\r\nContent-Length: 2\r\n\r\n",
       417},
      {"POST /v1/completions HTTP/1.1\r\n" + host + json + "Content-Length: 9\r\n\r\n{", 400},
  };
  for (const auto& [text, status] : cases) {
    HttpClient client(port());
    client.Send(text);
    client.EndSending();
    EXPECT_EQ(client.Read().status, status) << text.substr(0, 120);
    EXPECT_EQ(client.Read().status, 0) << "the connection ends: " << text.substr(0, 120);
  }
  ExpectQuiet();
}

TEST_F(HostileTest, RequestsMayFollowEachOtherAtOnce) {
  Start();
  const std::string post =
      HttpClient::PostText("/v1/completions", R"({"prompt":"a","max_tokens":8})");
  const std::string get = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  HttpClient client(port());
  client.Send(post + get + post + get);
  EXPECT_EQ(client.Read().json()["object"], "text_completion");
  EXPECT_EQ(client.Read().json()["status"], "ok");
  EXPECT_EQ(client.Read().json()["object"], "text_completion");
  EXPECT_EQ(client.Read().json()["status"], "ok");
  // A byte at a time, and in chunks.
  for (const char c : post) client.Send({&c, 1});
  EXPECT_EQ(client.Read().status, 200);
  client.Send(
      "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"pro\r\n9\r\nmpt\":\"a\"}\r\n0\r\n\r\n");
  EXPECT_EQ(client.Read().json()["count"], 1);
  client.Send(
      "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 14\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Read().status, 100);
  client.Send("{\"prompt\":\"a\"}");
  EXPECT_EQ(client.Read().json()["count"], 1);
}

TEST_F(HostileTest, AClientThatGoesAwayEndsItsRequest) {
  Start();
  for (const bool stream : {true, false}) {
    Json body = LongRequest();
    body["stream"] = stream;
    body["n"] = 2;
    for (int i = 0; i < 3; ++i) {
      const double generated = Metric("vllm:generation_tokens_total");
      HttpClient client(port());
      client.Send(HttpClient::PostText("/v1/completions", body.dump()));
      ASSERT_TRUE(WaitUntil([&] { return Metric("vllm:generation_tokens_total") != generated; }));
      client.Close();
      ASSERT_TRUE(WaitUntil([&] { return Open() == 0; }));
      EXPECT_LT(Metric("vllm:generation_tokens_total") - generated, 120'000) << "not to its end";
    }
  }
  ExpectQuiet();
}

TEST_F(HostileTest, SlowSendersAreCutOff) {
  options_.http.receive_timeout = std::chrono::milliseconds(300);
  options_.http.idle_timeout = std::chrono::milliseconds(300);
  Start();
  for (const char* beginning :
       {"", "POST /v1/compl", "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"}) {
    HttpClient client(port());
    client.Send(beginning);
    EXPECT_EQ(client.Read().status, 0) << beginning;
  }
}

TEST_F(HostileTest, SlowReadersAreCutOffAndHoldNobodyUp) {
  options_.http.send_timeout = std::chrono::milliseconds(300);
  options_.engine.max_length = 1 << 18;
  Start();
  HttpClient slow(port());
  Json body = LongRequest();
  body["max_tokens"] = 250'000;
  body["logprobs"] = 15;  // so that much is to be read
  slow.Send(HttpClient::PostText("/v1/completions", body.dump()));
  ASSERT_TRUE(WaitUntil([&] { return Metric("vllm:generation_tokens_total") != 0; }));
  EXPECT_EQ(Complete({{"prompt", "a"}, {"max_tokens", 4}}).status, 200);
  ExpectQuiet();  // the slow one was given up
  EXPECT_LT(Metric("vllm:generation_tokens_total"), 250'000);
}

TEST_F(HostileTest, SteadyReadersOfLongAnswersGetAll) {
  options_.http.send_timeout = std::chrono::milliseconds(2000);
  options_.engine.max_length = 1 << 20;
  Start();
  HttpClient client(port());
  client.KeepReceiveBufferSmall();
  const size_t length = 3'000'000;  // each byte is a token
  client.Send(
      HttpClient::PostText("/tokenize", Json({{"prompt", std::string(length, '~')}}).dump()));
  size_t pauses = 0;
  while (client.received().find("]") == std::string::npos || !client.received().ends_with("}")) {
    ASSERT_TRUE(client.ReadMore()) << client.received().size() << " bytes";
    if (client.received().size() / 400'000 > pauses) {
      ++pauses;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
  EXPECT_GT(pauses, 15);
  EXPECT_EQ(client.Read().json()["count"], length);
}

TEST_F(HostileTest, AFullQueueIsToldAtOnce) {
  options_.engine.max_sequences = 1;
  options_.max_queue = 1;
  Start();
  HttpClient first(port());
  HttpClient second(port());
  first.Send(HttpClient::PostText("/v1/completions", LongRequest().dump()));
  second.Send(HttpClient::PostText("/v1/completions", LongRequest().dump()));
  ASSERT_TRUE(WaitUntil([&] { return Open() >= 2; }));
  const ClientResponse refused = Complete({{"prompt", "a"}});
  EXPECT_EQ(refused.status, 429);
  EXPECT_TRUE(refused.HasHeader("Retry-After: 1"));
  EXPECT_EQ(refused.json()["error"]["code"], "queue_full");
  const ClientResponse never = Complete({{"prompt", {"a", "b", "c"}}});
  EXPECT_EQ(never.status, 400) << "there are two places at all";
  EXPECT_EQ(never.json()["error"]["param"], "prompt");
  first.Close();
  second.Close();
  ExpectQuiet();
}

TEST_F(HostileTest, AnEmptyPromptTakesOneToken) {
  Start();
  const int64_t room = Get("/v1/models").json()["data"][0]["max_model_len"].get<int64_t>() - 1;
  EXPECT_EQ(Complete({{"prompt", ""}, {"max_tokens", room}}).status, 200);
  const ClientResponse refused = Complete({{"prompt", ""}, {"max_tokens", room + 1}});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["code"], "context_length_exceeded");
}

TEST_F(HostileTest, ManyTextsOfManyPromptsAreRefusedAtOnce) {
  Start();
  const ClientResponse refused = Complete({{"prompt", std::vector<std::string>(64, "a")},
                                           {"n", 128},
                                           {"max_tokens", 0},
                                           {"echo", true}});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["param"], "n");
}

TEST_F(HostileTest, AnswersOfTooManyLogProbabilitiesAreRefused) {
  options_.engine.max_length = 1 << 16;
  options_.http.max_body_bytes = 16 << 20;
  WriteFileAtomically(directory_ + "/chat_template.jinja", "{{ messages[0].content }}");
  Start();
  const Json chat = Json::array({{{"role", "user"}, {"content", "x"}}});
  const std::string long_text(60'000, 'a');
  struct Case {
    std::string path;
    Json body;
    std::string param;
    std::string message;
  };
  const Case cases[] = {
      {"/v1/completions",
       {{"prompt", "a"}, {"max_tokens", 65'000}, {"logprobs", 20}, {"n", 4}},
       "logprobs",
       "5460000 log-probabilities (65000 tokens, n 4, 21 for each) are more than the 4194304"},
      {"/v1/completions",
       {{"prompt", {long_text, long_text, long_text, long_text}},
        {"max_tokens", 0},
        {"echo", true},
        {"logprobs", 20}},
       "logprobs",
       R"(lower "logprobs", "max_tokens", "n" or the number of prompts)"},
      {"/v1/chat/completions",
       {{"messages", chat}, {"logprobs", true}, {"top_logprobs", 20}, {"n", 4}},
       "top_logprobs",
       R"(lower "top_logprobs", "max_completion_tokens" or "n")"},
      {"/v1/score",
       {{"inputs", {{{"text", std::string(4'200'000, 'a')}}}}, {"token_log_likelihoods", true}},
       "token_log_likelihoods",
       R"(more than the 4194304 whose log-likelihoods one answer has; send fewer "inputs")"},
  };
  for (const Case& wrong : cases) {
    const ClientResponse refused = Post(wrong.path, wrong.body);
    EXPECT_EQ(refused.status, 400) << refused.body;
    EXPECT_EQ(refused.json()["error"]["param"], wrong.param);
    EXPECT_THAT(refused.json()["error"]["message"].get<std::string>(), HasSubstr(wrong.message));
  }
}

TEST_F(HostileTest, TextsThatAreOnlyScoredTakePlacesToo) {
  options_.engine.max_sequences = 2;
  options_.max_queue = 2;
  Start();
  const auto request = [](int n) -> Json {
    return {
        {"prompt", {"a", "the end"}}, {"n", n}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 1}};
  };
  EXPECT_EQ(Complete(request(2)).status, 200);
  const ClientResponse refused = Complete(request(3));
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["message"],
            "n: 6 texts are asked for; the server has places for 4");
}

TEST_F(HostileTest, OthersAreAnsweredWhileALongAnswerIsMade) {
  options_.engine.max_sequences = 8;
  Start();
  const Json body = {{"prompt", std::vector<std::string>(16, std::string(1000, 'a'))},
                     {"n", 8},
                     {"max_tokens", 0},
                     {"echo", true},
                     {"logprobs", 20}};
  using Clock = std::chrono::steady_clock;
  const auto longest_share = [&] {  // of the answer's time that another request waits
    const Clock::time_point begin = Clock::now();
    std::atomic<bool> done = false;
    ClientResponse answer;
    std::thread client([&] {
      answer = Complete(body);
      done = true;
    });
    HttpClient other(port());
    Clock::duration longest{};
    while (!done) {
      const Clock::time_point sent = Clock::now();
      EXPECT_EQ(other.Get("/health").status, 200);
      longest = std::max(longest, Clock::now() - sent);
    }
    client.join();
    EXPECT_EQ(answer.status, 200);
    EXPECT_GT(answer.body.size(), 50'000'000U);
    return std::chrono::duration<double>(longest) / (Clock::now() - begin);
  };
  // What else the machine does may hold up a try; a server that answers nobody meanwhile, all.
  double least = 1;
  for (int i = 0; i < 5 && least >= 0.25; ++i) least = std::min(least, longest_share());
  EXPECT_LT(least, 0.25);
}

TEST_F(HostileTest, AQueueOfNoneStillScores) {
  options_.max_queue = 0;
  Start();
  EXPECT_EQ(Post("/v1/score", {{"inputs", {{{"text", "the end"}}}}}).status, 200);
}

TEST_F(HostileTest, RequestsEndAtTheirTimeOut) {
  options_.request_timeout = std::chrono::milliseconds(1);
  Start();
  Json body = LongRequest();
  const std::vector<std::string> events = Complete(body).Events();
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_EQ(Json::parse(events[events.size() - 2])["error"]["code"], "request_timeout");
  body["stream"] = false;
  EXPECT_EQ(Complete(body).status, 504);
}

TEST_F(HostileTest, TheKeyOpensAllButHealth) {
  options_.api_key = "secret";
  Start();
  EXPECT_EQ(Get("/health").status, 200);
  for (const char* header :
       {"", "Authorization: Bearer wrong\r\n", "Authorization: Bearer secret2\r\n",
        "Authorization: Bearer\r\n", "Authorization: secret\r\n",
        "Authorization: Basic c2VjcmV0\r\n", "Authorization: Basic !!\r\n"}) {
    for (const char* path : {"/", "/ready", "/metrics", "/v1/models", "/docs", "/nothing"}) {
      const ClientResponse response = Get(path, header);
      EXPECT_EQ(response.status, 401) << path << header;
      EXPECT_TRUE(response.HasHeader("WWW-Authenticate: Bearer"));
      EXPECT_TRUE(response.HasHeader("WWW-Authenticate: Basic realm=\"blockformer\""));
    }
  }
  EXPECT_EQ(Get("/v1/models", "Authorization: Bearer secret\r\n").status, 200);
  EXPECT_EQ(Get("/v1/models", "authorization: bearer  secret\r\n").status, 200);
  EXPECT_EQ(Get("/", "Authorization: Basic YW55Ym9keTpzZWNyZXQ=\r\n").status, 200);
}

TEST_F(HostileTest, NamesOfOtherSitesAreRefused) {
  Start();
  HttpClient client(port());
  client.Send("GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  EXPECT_EQ(client.Read().status, 403);
  for (const char* host : {"localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"}) {
    HttpClient good(port());
    good.Send(std::string("GET /health HTTP/1.1\r\nHost: ") + host + "\r\n\r\n");
    EXPECT_EQ(good.Read().status, 200) << host;
  }
}

TEST_F(HostileTest, OtherSitesPagesReadNothingUnlessAllowed) {
  Start();
  EXPECT_EQ(Get("/v1/models").head.find("Access-Control"), std::string::npos);
  Stop();
  options_.cors_origin = "https://page.example";
  Start();
  EXPECT_TRUE(Get("/v1/models").HasHeader("Access-Control-Allow-Origin: https://page.example"));
  HttpClient client(port());
  // As openai's JavaScript library asks.
  client.Send(
      "OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
      "Access-Control-Request-Headers: authorization,x-stainless-lang\r\n\r\n");
  const ClientResponse allowed = client.Read();
  EXPECT_EQ(allowed.status, 204);
  EXPECT_TRUE(allowed.HasHeader("Access-Control-Allow-Headers: authorization,x-stainless-lang"));
  Stop();
  for (const char* wrong : {"page.example", "https://", "https://page.example/path", "null",
                            "https://page.example\r\nX-Other: 1", "http://a b"}) {
    options_.cors_origin = wrong;
    try {
      Server(directory_, options_);
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("`cors_origin`")) << wrong;
    }
  }
  for (const char* right : {"*", "http://localhost:3000", "https://[::1]:8080"}) {
    options_.cors_origin = right;
    Server(directory_, options_);
  }
}

TEST_F(HostileTest, WhatIsWrongBesideTheModelIsToldBeforeItIsLoaded) {
  Start();
  options_.port = port();
  try {
    Server("no such model", options_);
    FAIL() << "the port is taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("port " + std::to_string(port())));
  }
}

TEST_F(HostileTest, WithoutAKeyOnlyThisMachineIsServed) {
  options_.host = "0.0.0.0";
  try {
    Server(directory_, options_);
    FAIL() << "everybody could use it";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("`insecure_listen`"));
  }
  options_.insecure_listen = true;
  Server(directory_, options_);
}

TEST_F(HostileTest, ShutdownLetsWhatRunsEnd) {
  options_.drain_timeout = std::chrono::minutes(10);
  Start();
  HttpClient running(port());
  Json body = LongRequest();
  body["max_tokens"] = 10'000;  // enough to be seen running, in a minute with TSan
  running.Send(HttpClient::PostText("/v1/completions", body.dump()));
  ASSERT_TRUE(WaitUntil([&] { return Open() >= 1; }));
  HttpClient late(port());
  EXPECT_EQ(late.Get("/ready").status, 200);
  server_->Shutdown();
  ASSERT_TRUE(WaitUntil([&] { return late.Get("/ready").status != 200; }));
  const ClientResponse refused =
      HttpClient(port()).Post("/v1/completions", std::string(R"({"prompt":"a"})"));
  EXPECT_TRUE(refused.status == 503) << refused.status;
  const std::vector<std::string> events = running.Read().Events();
  EXPECT_EQ(Json::parse(events[events.size() - 2])["choices"][0]["finish_reason"], "length");
  thread_.join();
}

TEST_F(HostileTest, ShutdownEndsWhatTakesTooLong) {
  options_.engine.max_length = 1 << 20;
  options_.engine.max_sequences = 1;
  Start();
  HttpClient running(port());
  Json body = LongRequest();
  body["max_tokens"] = 1'000'000;
  running.Send(HttpClient::PostText("/v1/completions", body.dump()));
  ASSERT_TRUE(WaitUntil([&] { return Metric("vllm:num_requests_running") >= 1; }));
  server_->Shutdown();
  const std::vector<std::string> events = running.Read().Events();
  EXPECT_EQ(Json::parse(events[events.size() - 2])["error"]["code"], "shutting_down");
  thread_.join();
}

TEST_F(HostileTest, TheSameRequestGivesTheSameTextAtAnyLoad) {
  Start();
  const auto body = [](uint64_t seed) -> Json {
    const std::string prompt(1 + seed * 7 % 90, static_cast<char>('a' + seed % 3));
    return {{"prompt", prompt}, {"max_tokens", 30}, {"seed", seed},
            {"logprobs", 2},    {"top_p", 0.9},     {"ignore_eos", true}};
  };
  constexpr uint64_t kRequests = 24;
  std::vector<Json> alone;
  for (uint64_t i = 0; i < kRequests; ++i) alone.push_back(Complete(body(i)).json()["choices"]);
  std::atomic<int> checked = 0;
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&, thread] {
      Random random(thread);
      for (int i = 0; i < 12; ++i) {
        const uint64_t seed = random.Below(kRequests);
        HttpClient client(port());
        switch (random.Below(3)) {
          case 0:  // goes away
            client.Send(HttpClient::PostText("/v1/completions", body(seed).dump()));
            break;
          case 1:  // says nonsense
            EXPECT_EQ(client.Post("/v1/completions", std::string("{\"prompt\":")).status, 400);
            break;
          default:
            EXPECT_EQ(client.Post("/v1/completions", body(seed)).json()["choices"], alone[seed]);
            ++checked;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(checked, 0);
  ExpectQuiet();
}

}  // namespace
}  // namespace blockformer
