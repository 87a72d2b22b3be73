#include "blockformer/async_engine.h"

#include <map>

#include "tests/api/api_fixture.h"
#include "tests/wait_until.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class AsyncEngineTest : public ApiTest {
 protected:
  AsyncEngine LoadAsync() const {
    AsyncEngineOptions options;
    options.dtype = "int8";
    options.max_sequences = 4;
    options.max_waiting = 1;
    return AsyncEngine::Load(directory_, options);
  }
};

TEST_F(AsyncEngineTest, ManyRequestsThroughOneQueue) {
  Load();
  AsyncEngine engine = LoadAsync();
  RequestQueue queue;
  RequestOptions options;
  options.max_tokens = 20;
  options.temperature = 1;
  options.ignore_end_of_text = true;
  options.log_probabilities = 0;
  std::map<int64_t, std::string> texts;
  std::map<int64_t, std::string> expected;
  const auto take = [&] {
    const std::optional<RequestEvent> event = queue.Next();
    if (!event) return false;
    texts[event->request()] += event->text();
    EXPECT_EQ(event->ids().size(), event->log_probabilities().size());
    if (event->is_last()) {
      EXPECT_EQ(event->reason(), FinishReason::kLength);
    }
    return true;
  };
  for (uint64_t i = 0; i < 20; ++i) {
    const std::string prompt = "the end" + std::to_string(i);
    options.stream = options_.stream = i;
    std::optional<int64_t> request = engine.Submit(prompt, options, &queue);
    while (!request && take()) request = engine.Submit(prompt, options, &queue);
    expected[*request] = RunOne(prompt).text;
  }
  while (take()) {
  }
  EXPECT_EQ(texts, expected);
  // The statistics are those of the last step.
  ASSERT_TRUE(WaitUntil([&] { return engine.stats().generated_tokens == 400; }));
}

TEST_F(AsyncEngineTest, TextsAndScores) {
  AsyncEngine engine = LoadAsync();
  EXPECT_EQ(engine.Detokenize(engine.Tokenize("the end")), "the end");
  EXPECT_LT(engine.Score("the beginning", " and the end"), 0);
  EXPECT_STREQ(engine.info().dtype, "int8");
}

TEST_F(AsyncEngineTest, FailuresAreErrors) {
  try {
    AsyncEngine::Load("nowhere");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("nowhere"));
  }
  AsyncEngine engine = LoadAsync();
  RequestQueue queue;
  RequestOptions options;
  options.top_k = -1;
  try {
    engine.Submit("a", options, &queue);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  }
  options.top_k = 0;
  options.left_padding = 4;  // of blocks of 4
  EXPECT_THROW(engine.Submit("a", options, &queue), Error);
  AsyncEngineOptions asked;
  asked.keep_going = [] { return true; };
  EXPECT_THROW(AsyncEngine::Load(directory_, asked), Error);
}

TEST_F(AsyncEngineTest, TextsObeyTheirFormat) {
  AsyncEngine engine = LoadAsync();
  RequestQueue queue;
  RequestOptions options;
  options.temperature = 1;
  options.max_tokens = 40;
  options.at_end = true;
  options.json_schema = R"({"enum": [true, false]})";
  ASSERT_TRUE(engine.Submit("a", options, &queue));
  const std::string text(queue.Next()->text());
  EXPECT_TRUE(text.ends_with("true") || text.ends_with("false")) << text;
  options.json_schema = "";
  options.json_object = true;
  ASSERT_TRUE(engine.Submit("a", options, &queue));
  const std::string object(queue.Next()->text());
  EXPECT_EQ(object[object.find_first_not_of(" \n\r\t")], '{') << object;
  options.json_schema = "{}";
  EXPECT_THROW(engine.Submit("a", options, &queue), Error);
}

TEST_F(AsyncEngineTest, AnEmptyPromptGoesOnAsLongAsThereIsRoom) {
  AsyncEngine engine = LoadAsync();
  RequestQueue queue;
  RequestOptions options;
  options.max_tokens = -1;
  options.ignore_end_of_text = true;
  options.at_end = true;
  ASSERT_TRUE(engine.Submit("", options, &queue));
  const std::optional<RequestEvent> event = queue.Next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->reason(), FinishReason::kLength) << event->error();
  EXPECT_EQ(std::ssize(event->ids()), engine.info().max_length - 1);
}

}  // namespace
}  // namespace blockformer
