// Requests of the C interface, from submission to their last event.
#include <atomic>
#include <future>
#include <numeric>
#include <thread>

#include "blockformer/text_generator.h"
#include "tests/api/api_fixture.h"
#include "tests/api/c_interface.h"
#include "tests/text/json_validator.h"
#include "tests/wait_until.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class ApiGenerationTest : public ApiTest {};

TEST_F(ApiGenerationTest, AProgramInC) { EXPECT_STREQ(RunCInterface(directory_.c_str()), nullptr); }

TEST_F(ApiGenerationTest, GeneratesWhatTextGeneratorDoes) {
  Load();
  const std::vector<std::string> prompts = {"the end", "", "abc", "a b c d e f", "\xC3\xA4", "x"};
  GeneratorOptions generator_options;
  generator_options.dtype = "int8";
  generator_options.max_sequences = 4;
  TextGenerator generator = TextGenerator::Load(directory_, generator_options);
  TextOptions text_options;
  text_options.max_tokens = 20;
  text_options.temperature = 1;
  text_options.seed = 7;
  text_options.stop = {"e"};
  std::vector<GeneratedText> expected(prompts.size());
  size_t next = 0;
  generator.GenerateBatch(
      [&]() -> std::optional<std::string> {
        if (next == prompts.size()) return std::nullopt;
        return prompts[next++];
      },
      text_options,
      [&](int64_t index, const GeneratedText& result) {
        expected[index] = result;
        return true;
      });

  const bf_text stop = AsText("e");
  options_.stops = &stop;
  options_.num_stops = 1;
  options_.seed = 7;
  options_.ignore_end_of_text = 0;
  for (const int32_t at_end : {0, 1}) {
    options_.at_end = at_end;
    std::vector<int64_t> requests;
    for (size_t i = 0; i < prompts.size(); ++i) {
      options_.stream = i;
      requests.push_back(Submit(prompts[i]));
    }
    std::map<int64_t, Result> results = Collect();
    for (size_t i = 0; i < prompts.size(); ++i) {
      const Result& result = results[requests[i]];
      EXPECT_EQ(result.text, expected[i].text) << i;
      EXPECT_EQ(result.ids, expected[i].tokens) << i;
      EXPECT_EQ(result.prompt_tokens, expected[i].prompt_tokens) << i;
      EXPECT_EQ(result.finish == BF_FINISH_STOP, expected[i].reason == FinishReason::kStop) << i;
      if (at_end == 1) {
        EXPECT_EQ(result.events, 1);
      }
    }
  }
}

// However it is submitted, and what TextGenerator makes of it.
TEST_F(ApiGenerationTest, TextsObeyTheirFormat) {
  constexpr char kSchema[] =
      R"({"type":"object","properties":{"zip":{"type":"string","maxLength":4},
          "age":{"type":"integer"}},"required":["age","zip"]})";
  ModelConfig config = TinyTextConfig();
  config.max_length = 1500;
  WriteTinyModel(directory_, config);
  Load();
  options_.max_tokens = -1;
  options_.ignore_end_of_text = 0;
  options_.format = BF_FORMAT_JSON_SCHEMA;
  options_.json_schema = AsText(kSchema);
  std::vector<int64_t> requests = {Submit("the end")};
  const int32_t ids[] = {1, 2, 3};
  ASSERT_EQ(bf_submit_ids(engine_, queue_, ids, 3, &options_, &requests.emplace_back()), BF_OK);
  const bf_text messages = AsText(R"([{"role": "user", "content": "a"}])");
  ASSERT_EQ(bf_submit_chat(engine_, queue_, messages, &options_, &requests.emplace_back()), BF_OK);
  std::map<int64_t, Result> results = Collect();
  for (const int64_t request : requests) {
    const std::string& text = results[request].text;
    EXPECT_EQ(results[request].finish, BF_FINISH_END_OF_TEXT) << results[request].message;
    EXPECT_TRUE(JsonValidator(Json::parse(kSchema)).AcceptsText(text)) << text;
    EXPECT_LT(text.find("\"zip\""), text.find("\"age\"")) << text;
  }
  GeneratorOptions generator_options;
  generator_options.dtype = "int8";
  TextOptions text_options;
  text_options.temperature = 1;
  text_options.max_tokens = 1400;
  text_options.json_schema = kSchema;
  const GeneratedText expected =
      TextGenerator::Load(directory_, generator_options).Generate("the end", text_options);
  EXPECT_EQ(results[requests[0]].text, expected.text);

  options_.format = BF_FORMAT_JSON_OBJECT;
  options_.json_schema = {};
  const int32_t bias_ids[] = {'"' + 1, '}' + 1};
  const double bias_values[] = {30, 15};
  options_.bias_ids = bias_ids;
  options_.bias_values = bias_values;
  options_.num_biases = 2;
  const Result object = RunOne("the end");
  EXPECT_TRUE(Json::parse(object.text, nullptr, false).is_object()) << object.text;
}

TEST_F(ApiGenerationTest, ManyThreadsShareAnEngine) {
  Load();
  options_.at_end = 1;
  const Result expected = RunOne("the end");
  std::vector<std::thread> threads;
  std::atomic<int> equal = 0;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      bf_queue* queue = nullptr;
      ASSERT_EQ(bf_queue_create(&queue), BF_OK);
      for (int i = 0; i < 8; ++i) {
        int64_t request = 0;
        ASSERT_EQ(bf_submit_text(engine_, queue, AsText("the end"), &options_, &request), BF_OK);
        bf_event* event = nullptr;
        ASSERT_EQ(bf_queue_next(queue, -1, &event), BF_OK);
        Result result;
        Add(*event, &result);
        if (result.ids == expected.ids && event->request == request) ++equal;
        bf_event_free(event);
      }
      bf_queue_free(queue);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, 32);
}

TEST_F(ApiGenerationTest, LogProbabilities) {
  Load();
  options_.temperature = 0;
  options_.log_probabilities = 20;
  Submit("the end");
  bf_event* event = nullptr;
  size_t tokens = 0;
  while (bf_queue_next(queue_, 60, &event) == BF_OK) {
    ASSERT_EQ(event->num_top, 20U);
    for (size_t i = 0; i < event->num_ids; ++i, ++tokens) {
      // Without temperature the likeliest of the tokenizer's ids is taken.
      size_t top = 20 * i;
      while (event->top_ids[top] >= kByteTokenizerVocabSize) ++top;
      EXPECT_EQ(event->ids[i], event->top_ids[top]);
      EXPECT_EQ(event->log_probabilities[i], event->top_log_probabilities[top]);
      EXPECT_GE(event->top_log_probabilities[top], event->top_log_probabilities[20 * i + 19]);
    }
    bf_event_free(event);
  }
  EXPECT_EQ(tokens, 20U);
}

TEST_F(ApiGenerationTest, EndsAtAStopId) {
  Load();
  const Result whole = RunOne("the end");
  const int32_t stop = whole.ids[10];
  options_.stop_ids = &stop;
  options_.num_stop_ids = 1;
  const Result result = RunOne("the end");
  EXPECT_EQ(result.finish, BF_FINISH_END_OF_TEXT);
  EXPECT_EQ(result.stop_id, stop);
  EXPECT_LE(result.ids.size(), 10U);
  options_.excluded_ids = options_.stop_ids;
  options_.num_excluded_ids = 1;
  EXPECT_EQ(RunOne("the end").finish, BF_FINISH_LENGTH);
}

TEST_F(ApiGenerationTest, RefusesToExcludeAllTokens) {
  Load();
  std::vector<int32_t> ids(kByteTokenizerVocabSize);
  std::iota(ids.begin(), ids.end(), 0);
  options_.excluded_ids = ids.data();
  options_.num_excluded_ids = ids.size();
  int64_t request = 0;
  EXPECT_EQ(bf_submit_text(engine_, queue_, AsText("a"), &options_, &request), BF_INVALID_ARGUMENT);
  EXPECT_THAT(bf_last_error(), HasSubstr("excluded_ids: all"));
  options_.num_excluded_ids = ids.size() - 1;
  EXPECT_EQ(RunOne("a").ids.front(), ids.back());
}

TEST_F(ApiGenerationTest, FitsPromptsIntoTheContext) {
  Load();
  const std::string prompt(60, 'a');
  int64_t request = 0;
  EXPECT_EQ(bf_submit_text(engine_, queue_, AsText(prompt), &options_, &request), BF_EXHAUSTED);
  EXPECT_EQ(request, 0);
  EXPECT_THAT(bf_last_error(), HasSubstr("60 tokens"));
  options_.too_long = BF_TOO_LONG_TRUNCATE_LEFT;
  const Result cut = RunOne(prompt);
  EXPECT_EQ(cut.cut_tokens, 16);
  EXPECT_EQ(cut.prompt_tokens, 44);
  options_.max_tokens = -1;  // as many as fit
  EXPECT_EQ(RunOne(prompt).ids.size(), 4U);
}

TEST_F(ApiGenerationTest, AChatIsContinuedAsItsTextIs) {
  Load();
  const bf_text messages = AsText(R"([{"role": "user", "content": "hi"}])");
  char text[100];
  size_t count = 0;
  ASSERT_EQ(bf_chat_text(engine_, messages, 1, text, sizeof(text), &count), BF_OK);
  const std::string_view written(text, count);
  EXPECT_EQ(written, "user:hi<|endoftext|>you:");
  int32_t ids[100];
  ASSERT_EQ(bf_tokenize(engine_, AsText(written), BF_NO_PREFIX, ids, 100, &count), BF_OK);
  int64_t chat = 0;
  int64_t plain = 0;
  ASSERT_EQ(bf_submit_chat(engine_, queue_, messages, &options_, &chat), BF_OK) << bf_last_error();
  ASSERT_EQ(bf_submit_ids(engine_, queue_, ids, count, &options_, &plain), BF_OK);
  std::map<int64_t, Result> results = Collect();
  EXPECT_EQ(results[chat].prompt_tokens, static_cast<int64_t>(count));
  EXPECT_EQ(results[chat].ids, results[plain].ids);
}

// As the server has them.
TEST_F(ApiGenerationTest, ConversationsHavePartsAndDevelopers) {
  Load();
  const auto written = [&](const char* messages) {
    char text[100];
    size_t count = 0;
    if (bf_chat_text(engine_, AsText(messages), 0, text, sizeof(text), &count) != BF_OK) {
      return std::string(bf_last_error());
    }
    return std::string(text, count);
  };
  EXPECT_EQ(written(R"([{"role": "developer", "content": "a"}, {"role": "user", "content":
                        [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]}])"),
            "system:a<|endoftext|>user:bc<|endoftext|>");
  EXPECT_EQ(written(R"([{"role": "tool", "content": "a", "name": "f"}])"), "tool:a<|endoftext|>");
  EXPECT_THAT(written(R"([{"role": "user", "content": [{"type": "image_url"}]}])"),
              testing::HasSubstr("messages[0].content[0].type"));
  EXPECT_THAT(written(R"([{"role": "user", "content": [7]}])"),
              testing::HasSubstr("messages[0].content[0]: an object"));
  EXPECT_THAT(written("[3]"), testing::HasSubstr("messages[0]: an object"));
  EXPECT_THAT(written("{}"), testing::HasSubstr("messages: a list"));
}

TEST_F(ApiGenerationTest, CancelledRequestsSaySo) {
  engine_options_.max_length = kLong + 8;
  engine_options_.max_sequences = 1;
  Load();
  const int64_t running = SubmitLong();
  const int64_t waiting = SubmitLong();
  bf_event* event = nullptr;
  ASSERT_EQ(bf_queue_next(queue_, 60, &event), BF_OK);
  bf_event_free(event);
  EXPECT_EQ(bf_cancel(engine_, waiting), BF_OK);
  EXPECT_EQ(bf_cancel(engine_, running), BF_OK);
  std::map<int64_t, Result> results = Collect();
  EXPECT_EQ(results[running].finish, BF_FINISH_CANCELLED);
  EXPECT_EQ(results[waiting].finish, BF_FINISH_CANCELLED);
  EXPECT_EQ(results[waiting].error, BF_OK);
  EXPECT_EQ(bf_cancel(engine_, running), BF_OK);  // of what has ended: nothing happens
  EXPECT_EQ(bf_queue_next(queue_, -1, &event), BF_IDLE);
}

TEST_F(ApiGenerationTest, FreeingAQueueCancelsItsRequests) {
  engine_options_.max_length = kLong + 8;
  engine_options_.max_sequences = 1;
  Load();
  SubmitLong();
  SubmitLong();
  bf_queue_free(queue_);
  queue_ = nullptr;
  EXPECT_EQ(StatsWhenIdle().open, 0);
}

TEST_F(ApiGenerationTest, AStoppedEngineEndsItsRequestsAndTakesNoMore) {
  engine_options_.max_length = kLong + 8;
  Load();
  const int64_t request = SubmitLong();
  ASSERT_EQ(bf_engine_stop(engine_), BF_OK);
  const Result result = Collect()[request];
  EXPECT_EQ(result.finish, BF_FINISH_ERROR);
  EXPECT_EQ(result.error, BF_INTERRUPTED);
  EXPECT_THAT(result.message, HasSubstr("stopped"));
  int64_t refused = 0;
  EXPECT_EQ(bf_submit_text(engine_, queue_, AsText("a"), &options_, &refused), BF_INTERRUPTED);
  bf_score_input input = {0, {}, AsText("a")};
  bf_score_result* scores = nullptr;
  EXPECT_EQ(bf_score(engine_, &input, 1, &scores), BF_INTERRUPTED);
  bf_event* event = nullptr;
  EXPECT_EQ(bf_queue_next(queue_, -1, &event), BF_IDLE);
  size_t count = 0;
  EXPECT_EQ(bf_tokenize(engine_, AsText("abc"), 0, nullptr, 0, &count), BF_OK);
  EXPECT_EQ(bf_engine_stop(engine_), BF_OK);
}

TEST_F(ApiGenerationTest, AQueueOutlivesTheEngine) {
  engine_options_.max_length = kLong + 8;
  Load();
  const int64_t request = SubmitLong();
  bf_engine_free(engine_);
  engine_ = nullptr;
  EXPECT_EQ(Collect()[request].error, BF_INTERRUPTED);
}

TEST_F(ApiGenerationTest, AFullEngineSaysSo) {
  engine_options_.max_length = kLong + 8;
  engine_options_.max_sequences = 1;
  engine_options_.max_waiting = 1;
  Load();
  SubmitLong();
  const int64_t last = SubmitLong();
  int64_t refused = 1;
  EXPECT_EQ(bf_submit_text(engine_, queue_, AsText("a"), &options_, &refused), BF_FULL);
  EXPECT_EQ(refused, 0);
  ASSERT_EQ(bf_cancel(engine_, last), BF_OK);
  ASSERT_TRUE(WaitUntil(
      [&] { return bf_submit_text(engine_, queue_, AsText("a"), &options_, &refused) == BF_OK; }));
  EXPECT_GT(refused, last);
}

TEST_F(ApiGenerationTest, ARequestEndsAtItsDeadline) {
  engine_options_.max_length = kLong + 8;
  Load();
  options_.deadline_seconds = 0.02;
  const int64_t request = SubmitLong();
  const Result result = Collect()[request];
  EXPECT_EQ(result.finish, BF_FINISH_ERROR);
  EXPECT_EQ(result.error, BF_EXHAUSTED);
}

TEST_F(ApiGenerationTest, WaitingTakesNoLongerThanAsked) {
  engine_options_.max_length = kLong + 8;
  Load();
  options_.at_end = 1;
  SubmitLong();
  bf_event* event = nullptr;
  EXPECT_EQ(bf_queue_next(queue_, 0.01, &event), BF_TIMEOUT);
  EXPECT_EQ(event, nullptr);
}

TEST_F(ApiGenerationTest, AnOverflowEndsItsRequestAlone) {
  WriteTinyModel(directory_, TinyTextConfig(), 3, /*overflowing_id=*/'x' + 1);
  engine_options_.dtype = "f32";
  Load();
  const int64_t bad = Submit("xxxx");
  const int64_t good = Submit("the end");
  std::map<int64_t, Result> results = Collect();
  EXPECT_EQ(results[bad].finish, BF_FINISH_ERROR);
  EXPECT_EQ(results[bad].error, BF_CORRUPT);
  EXPECT_THAT(results[bad].message, HasSubstr("finite"));
  EXPECT_EQ(results[good].finish, BF_FINISH_LENGTH);
}

// What a callback was told, and what it answers.
struct Told {
  bf_engine* engine = nullptr;
  std::vector<int32_t> ids;
  int calls = 0;
  int stop_after = 0;
  bf_status from_inside = BF_OK;
  std::promise<void> ended;
};

int32_t Tell(void* user, const bf_event* event) {
  auto* told = static_cast<Told*>(user);
  told->ids.insert(told->ids.end(), event->ids, event->ids + event->num_ids);
  told->from_inside = bf_engine_stop(told->engine);
  const bool stops = ++told->calls == told->stop_after;
  if (event->finish != BF_GOES_ON || stops) told->ended.set_value();
  return stops ? 1 : 0;
}

TEST_F(ApiGenerationTest, CallbacksInPlaceOfAQueue) {
  Load();
  const Result expected = RunOne("the end");
  Told told;
  told.engine = engine_;
  options_.callback = Tell;
  options_.user = &told;
  int64_t request = 0;
  ASSERT_EQ(bf_submit_text(engine_, nullptr, AsText("the end"), &options_, &request), BF_OK);
  told.ended.get_future().wait();
  EXPECT_EQ(told.ids, expected.ids);
  EXPECT_EQ(told.from_inside, BF_INVALID_ARGUMENT);  // it would wait for itself

  Told brief;
  brief.engine = engine_;
  brief.stop_after = 2;
  options_.user = &brief;
  ASSERT_EQ(bf_submit_text(engine_, nullptr, AsText("the end"), &options_, &request), BF_OK);
  brief.ended.get_future().wait();
  StatsWhenIdle();
  EXPECT_EQ(brief.calls, 2);
}

}  // namespace
}  // namespace blockformer
