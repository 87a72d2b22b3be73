// What callers of the C interface get wrong, and texts, scores and structures.
#include <sys/wait.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <thread>

#include "engine/scorer.h"
#include "eval/eval_model.h"
#include "eval/request_encoder.h"
#include "tests/api/api_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class ApiArgumentsTest : public ApiTest {
 protected:
  // The message of a request that is refused.
  std::string Refusal(bf_status expected = BF_INVALID_ARGUMENT) {
    int64_t request = 1;
    EXPECT_EQ(bf_submit_text(engine_, queue_, AsText("the"), &options_, &request), expected);
    EXPECT_EQ(request, 0);
    bf_request_options_init(&options_, sizeof(options_));
    return bf_last_error();
  }
};

TEST_F(ApiArgumentsTest, NullIsAnError) {
  size_t count = 0;
  int64_t request = 0;
  int32_t id = 0;
  char text[1];
  bf_event* event = nullptr;
  bf_score_result* scores = nullptr;
  EXPECT_EQ(bf_engine_load(nullptr, nullptr, &engine_), BF_INVALID_ARGUMENT);
  Load();
  EXPECT_EQ(bf_engine_load(directory_.c_str(), nullptr, nullptr), BF_INVALID_ARGUMENT);
  EXPECT_THAT(bf_last_error(), HasSubstr("engine: is NULL"));
  EXPECT_EQ(bf_engine_options_init(nullptr, sizeof(bf_engine_options)), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_request_options_init(nullptr, sizeof(bf_request_options)), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_engine_stop(nullptr), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_engine_get_info(engine_, nullptr), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_engine_get_stats(nullptr, nullptr), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_tokenize(nullptr, AsText("a"), 0, &id, 1, &count), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_tokenize(engine_, AsText("a"), 0, nullptr, 1, &count), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_tokenize(engine_, AsText("a"), 0, &id, 1, nullptr), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_tokenize(engine_, {nullptr, 3}, 0, &id, 1, &count), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_detokenize(engine_, nullptr, 2, 0, text, 1, &count), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_chat_text(engine_, {nullptr, 2}, 1, text, 1, &count), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_chat_ids(engine_, AsText("[]"), 1, nullptr, 1, &count), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_queue_create(nullptr), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_queue_next(nullptr, 0, &event), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_queue_next(queue_, 0, nullptr), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_submit_text(nullptr, queue_, AsText("a"), nullptr, &request), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_submit_text(engine_, nullptr, AsText("a"), nullptr, &request), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_submit_text(engine_, queue_, AsText("a"), nullptr, nullptr), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_submit_ids(engine_, queue_, nullptr, 1, nullptr, &request), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_cancel(nullptr, 1), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_score(engine_, nullptr, 1, &scores), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_score(engine_, nullptr, 0, nullptr), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_check_ids(nullptr, &id, 1, nullptr), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_check_ids(engine_, nullptr, 1, nullptr), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_check_score(nullptr, nullptr), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_check_score(engine_, nullptr), BF_INVALID_ARGUMENT);
  bf_engine_free(nullptr);
  bf_queue_free(nullptr);
  bf_event_free(nullptr);
  bf_scores_free(nullptr);
}

TEST_F(ApiArgumentsTest, RequestsAreChecked) {
  Load();
  options_.temperature = -1;
  EXPECT_THAT(Refusal(), HasSubstr("temperature"));
  options_.top_p = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(Refusal(), HasSubstr("top_p"));
  options_.max_tokens = 0;
  EXPECT_THAT(Refusal(), HasSubstr("max_tokens"));
  options_.log_probabilities = 21;
  EXPECT_THAT(Refusal(), HasSubstr("log_probabilities"));
  options_.left_padding = 4;
  EXPECT_THAT(Refusal(), HasSubstr("left_padding"));
  options_.at_end = 2;
  EXPECT_THAT(Refusal(), HasSubstr("at_end"));
  options_.too_long = 7;
  EXPECT_THAT(Refusal(), HasSubstr("too_long"));
  options_.deadline_seconds = -1;
  EXPECT_THAT(Refusal(), HasSubstr("deadline_seconds"));
  options_.num_stop_ids = 3;
  EXPECT_THAT(Refusal(), HasSubstr("stop_ids: is NULL"));
  const int32_t id = 1000;
  options_.num_stop_ids = 1;
  options_.stop_ids = &id;
  EXPECT_THAT(Refusal(), HasSubstr("1000"));
  const bf_text invalid = AsText("\xFF");
  options_.num_stops = 1;
  options_.stops = &invalid;
  EXPECT_THAT(Refusal(), HasSubstr("UTF-8"));
  options_.num_stops = SIZE_MAX;
  options_.stops = &invalid;
  EXPECT_THAT(Refusal(), HasSubstr("stops"));
  options_.struct_size = 8;
  EXPECT_THAT(Refusal(), HasSubstr("struct_size is 8"));
  int64_t request = 0;
  EXPECT_EQ(bf_submit_ids(engine_, queue_, &id, 1, nullptr, &request), BF_INVALID_ARGUMENT);
  EXPECT_THAT(bf_last_error(), HasSubstr("prompt: token id 1000"));
  EXPECT_EQ(bf_submit_text(engine_, queue_, invalid, nullptr, &request), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_submit_chat(engine_, queue_, AsText("{"), nullptr, &request), BF_CORRUPT);
  EXPECT_EQ(bf_submit_chat(engine_, queue_, AsText(R"([{"role": 1}])"), nullptr, &request),
            BF_INVALID_ARGUMENT);
  bf_event* event = nullptr;
  EXPECT_EQ(bf_queue_next(queue_, std::nan(""), &event), BF_INVALID_ARGUMENT);
  EXPECT_EQ(bf_queue_next(queue_, -1, &event), BF_IDLE);  // nothing was left open
}

// What a submission would say, while nothing is queued.
TEST_F(ApiArgumentsTest, RequestsCanBeCheckedAlone) {
  Load();
  const int32_t ids[] = {1, 2, 1000};
  EXPECT_EQ(bf_check_ids(engine_, ids, 2, &options_), BF_OK);
  EXPECT_EQ(bf_check_ids(engine_, nullptr, 0, &options_), BF_OK);
  EXPECT_EQ(bf_check_ids(engine_, ids, 3, nullptr), BF_INVALID_ARGUMENT);
  EXPECT_THAT(bf_last_error(), HasSubstr("prompt: token id 1000"));
  options_.temperature = -1;
  EXPECT_EQ(bf_check_ids(engine_, ids, 2, &options_), BF_INVALID_ARGUMENT);
  options_.temperature = 1;
  const std::vector<int32_t> many(kLong, 1);
  EXPECT_EQ(bf_check_ids(engine_, many.data(), many.size(), &options_), BF_EXHAUSTED);
  options_.too_long = BF_TOO_LONG_TRUNCATE_LEFT;
  EXPECT_EQ(bf_check_ids(engine_, many.data(), many.size(), &options_), BF_OK);

  const bf_score_input inputs[] = {{0, {}, AsText("text")}, {1, AsText("a"), AsText("")}};
  EXPECT_EQ(bf_check_score(engine_, &inputs[0]), BF_OK);
  EXPECT_EQ(bf_check_score(engine_, &inputs[1]), BF_INVALID_ARGUMENT);
  EXPECT_THAT(bf_last_error(), HasSubstr("adds no token"));
  EXPECT_EQ(StatsWhenIdle().steps, 0);
}

TEST_F(ApiArgumentsTest, LoadingIsChecked) {
  const auto refusal = [&] {
    EXPECT_NE(bf_engine_load(directory_.c_str(), &engine_options_, &engine_), BF_OK);
    EXPECT_EQ(engine_, nullptr);
    bf_engine_options_init(&engine_options_, sizeof(engine_options_));
    return std::string(bf_last_error());
  };
  engine_options_.dtype = "int3";
  EXPECT_THAT(refusal(), HasSubstr("int3"));
  engine_options_.score_padding = "left";
  EXPECT_THAT(refusal(), HasSubstr("score_padding: \"left\""));
  engine_options_.device = "tpu";
  EXPECT_THAT(refusal(), HasSubstr("tpu"));
  engine_options_.threads = -3;
  EXPECT_THAT(refusal(), HasSubstr("-3"));
  engine_options_.max_waiting = 0;
  EXPECT_THAT(refusal(), HasSubstr("max_waiting"));
  engine_options_.max_sequences = -1;
  EXPECT_THAT(refusal(), HasSubstr("max_sequences"));
  engine_options_.score_batch_tokens = 0;
  EXPECT_THAT(refusal(), HasSubstr("batch_tokens"));
  directory_ += "/none";
  EXPECT_THAT(refusal(), HasSubstr(directory_));
}

TEST_F(ApiArgumentsTest, StructuresMayGrow) {
  struct Newer {
    bf_request_options today;
    int64_t added;
  } newer;
  bf_request_options* options = &newer.today;
  std::memset(&newer, 0x55, sizeof(newer));
  ASSERT_EQ(bf_request_options_init(options, sizeof(newer)), BF_OK);
  EXPECT_EQ(options->struct_size, sizeof(newer));
  EXPECT_EQ(newer.added, 0);
  options->max_tokens = 8;
  Load();
  int64_t request = 0;
  EXPECT_EQ(bf_submit_text(engine_, queue_, AsText("a"), options, &request), BF_OK);
  newer.added = 1;
  EXPECT_EQ(bf_submit_text(engine_, queue_, AsText("a"), options, &request), BF_INVALID_ARGUMENT);
  EXPECT_THAT(bf_last_error(), HasSubstr("does not have"));
}

// A program that was compiled with the structure of versions 1 and 2.
TEST_F(ApiArgumentsTest, StructuresOfOlderVersionsAreTaken) {
  constexpr size_t kOldSize = offsetof(bf_request_options, format);
  bf_request_options options;
  std::memset(&options, 0x55, sizeof(options));
  const bf_request_options before = options;
  ASSERT_EQ(bf_request_options_init(&options, kOldSize), BF_OK);
  EXPECT_EQ(options.struct_size, kOldSize);
  EXPECT_EQ(options.max_tokens, 128);
  EXPECT_EQ(options.format, before.format) << "what lies behind the structure is the caller's";
  EXPECT_EQ(options.json_schema.size, before.json_schema.size);
  options.max_tokens = 9;
  options.ignore_end_of_text = 1;
  Load();
  int64_t request = 0;
  ASSERT_EQ(bf_submit_text(engine_, queue_, AsText("the"), &options, &request), BF_OK)
      << bf_last_error();
  EXPECT_EQ(Collect()[request].ids.size(), 9U);
  for (const size_t size : {kOldSize - 8, kOldSize + 8}) {
    EXPECT_EQ(bf_request_options_init(&options, size), BF_INVALID_ARGUMENT) << size;
  }
}

TEST_F(ApiArgumentsTest, FormatsAreChecked) {
  Load();
  options_.format = 3;
  EXPECT_THAT(Refusal(), HasSubstr("format: 3"));
  options_.format = -1;
  EXPECT_THAT(Refusal(), HasSubstr("format: -1"));
  options_.json_schema = AsText("{}");
  EXPECT_THAT(Refusal(), HasSubstr("json_schema: goes with"));
  options_.format = BF_FORMAT_JSON_OBJECT;
  options_.json_schema = AsText("{}");
  EXPECT_THAT(Refusal(), HasSubstr("json_schema: goes with"));
  options_.format = BF_FORMAT_JSON_OBJECT;
  options_.ignore_end_of_text = 1;
  EXPECT_THAT(Refusal(), HasSubstr("`json_object`: its texts end"));
  const std::string large = "{\"title\":\"" + std::string(1 << 20, 'a') + "\"}";
  const std::pair<std::string, std::string> cases[] = {
      {"", "json_schema: is empty"},
      {"{", "json_schema: the schema: not valid JSON"},
      {"[]", "json_schema: a schema, which is an object"},
      {R"({"properties":{"x":{"type":"date"}}})", "json_schema.properties.x.type: "},
      {R"({"type":"string","pattern":"a"})", "json_schema.pattern: "},
      {large, "bytes is larger"},
      {"{\"title\":\"\xFF\"}", "json_schema: the schema: not valid JSON"},
  };
  for (const auto& [schema, message] : cases) {
    options_.format = BF_FORMAT_JSON_SCHEMA;
    options_.json_schema = AsText(schema);
    EXPECT_EQ(bf_check_ids(engine_, nullptr, 0, &options_), BF_INVALID_ARGUMENT) << message;
    EXPECT_THAT(bf_last_error(), HasSubstr(message));
    EXPECT_THAT(Refusal(), HasSubstr(message));
  }
  options_.format = BF_FORMAT_JSON_SCHEMA;
  options_.json_schema = {nullptr, 2};
  EXPECT_THAT(Refusal(), HasSubstr("json_schema: is NULL"));
}

TEST_F(ApiArgumentsTest, MessagesAreOfAThread) {
  EXPECT_NE(bf_engine_load("nowhere", nullptr, &engine_), BF_OK);
  std::thread([] {
    EXPECT_STREQ(bf_last_error(), "");
    EXPECT_NE(bf_queue_create(nullptr), BF_OK);
  }).join();
  EXPECT_THAT(bf_last_error(), HasSubstr("nowhere"));
  EXPECT_STREQ(bf_status_name(BF_NOT_FOUND), "not found");
  EXPECT_STREQ(bf_status_name(-5), "unknown");
}

TEST_F(ApiArgumentsTest, TextsAreWrittenAsFarAsTheyFit) {
  Load();
  int32_t ids[4] = {-1, -1, -1, -1};
  size_t count = 0;
  ASSERT_EQ(bf_tokenize(engine_, AsText("abc"), 0, ids, 2, &count), BF_OK);
  EXPECT_EQ(count, 3U);
  EXPECT_EQ(ids[1], 'b' + 1);
  EXPECT_EQ(ids[2], -1);
  char text[8] = "zzzzzzz";
  const int32_t cut[] = {'a' + 1, 0xC3 + 1, 0};  // a character without its end, end of text
  ASSERT_EQ(bf_detokenize(engine_, cut, 3, 1, text, 8, &count), BF_OK);
  EXPECT_EQ(std::string_view(text, count), "a\xEF\xBF\xBD");
  EXPECT_EQ(text[4], 'z');
  EXPECT_EQ(bf_tokenize(engine_, AsText("a"), 64, ids, 2, &count), BF_INVALID_ARGUMENT);
  const int32_t unknown = 100000;
  EXPECT_EQ(bf_detokenize(engine_, &unknown, 1, 0, text, 8, &count), BF_INVALID_ARGUMENT);
}

TEST_F(ApiArgumentsTest, SpecialTokensAreTextIfAsked) {
  engine_options_.plain_text = 1;
  Load();
  int32_t ids[20];
  size_t count = 0;
  ASSERT_EQ(bf_tokenize(engine_, AsText("<|endoftext|>"), 0, ids, 20, &count), BF_OK);
  EXPECT_EQ(count, 13U);
  ASSERT_EQ(bf_tokenize(engine_, AsText("<|endoftext|>"), BF_PARSE_SPECIAL, ids, 20, &count),
            BF_OK);
  EXPECT_EQ(count, 1U);
  // In messages as in prompts; the template's own is a token.
  const bf_text messages = AsText(R"([{"role": "user", "content": "a<|endoftext|>"}])");
  ASSERT_EQ(bf_chat_ids(engine_, messages, 1, ids, 20, &count), BF_OK);
  EXPECT_EQ(count, 5U + 14U + 1U + 4U);
  int64_t request = 0;
  ASSERT_EQ(bf_submit_chat(engine_, queue_, messages, &options_, &request), BF_OK);
  EXPECT_EQ(Collect()[request].prompt_tokens, static_cast<int64_t>(count));
}

TEST_F(ApiArgumentsTest, AModelWithoutAChatTemplateSaysSo) {
  std::filesystem::remove(directory_ + "/tokenizer_config.json");
  Load();
  size_t count = 0;
  EXPECT_EQ(bf_chat_text(engine_, AsText("[]"), 1, nullptr, 0, &count), BF_UNSUPPORTED);
  bf_engine_info info = {};
  info.struct_size = sizeof(info);
  ASSERT_EQ(bf_engine_get_info(engine_, &info), BF_OK);
  EXPECT_EQ(info.has_chat_template, 0);
  EXPECT_EQ(info.block_length, 4);
  EXPECT_EQ(info.capacity, 4 + 256);
}

// The contexts share beginnings, and texts fill several windows.
TEST_F(ApiArgumentsTest, ScoresAreTheScorers) {
  engine_options_.score_padding = "pad";
  Load();
  std::vector<std::pair<std::string, std::string>> pairs;
  for (int i = 0; i < 50; ++i) {
    pairs.emplace_back("the same beginning " + std::to_string(i / 5),
                       " and end" + std::to_string(i));
  }
  pairs.emplace_back(std::string(100, 'c'), "after a context that is too long");
  const std::string text(150, 't');
  std::vector<bf_score_input> inputs;
  for (const auto& [context, end] : pairs) inputs.push_back({1, AsText(context), AsText(end)});
  inputs.push_back({0, {}, AsText(text)});
  inputs.push_back({0, {}, {}});

  const EvalModel model = EvalModel::Load(directory_, {"cpu", NumberType::kInt8});
  ScorerOptions scorer_options;
  scorer_options.padding = ScoringPadding::kPadded;
  Scorer scorer(model.model, scorer_options);
  const int64_t length = scorer.options().max_length;
  std::vector<ScoreRequest> requests;
  for (const auto& [context, end] : pairs) {
    requests.push_back(EncodePair(model.tokenizer, context, end, length, model.prefix_id));
  }
  for (ScoreRequest& window : RollingWindows(EncodeWhole(model.tokenizer, text, model.prefix_id),
                                             length, model.prefix_id)) {
    requests.push_back(std::move(window));
  }
  const auto expected = ScoreAll(&scorer, requests);

  options_.at_end = 1;
  Submit("the end");  // scores come between its steps
  bf_score_result* scores = nullptr;
  ASSERT_EQ(bf_score(engine_, inputs.data(), inputs.size(), &scores), BF_OK) << bf_last_error();
  for (size_t i = 0; i < pairs.size(); ++i) {
    double sum = 0;
    for (const TokenScore& score : expected[i]) sum += score.log_likelihood;
    EXPECT_EQ(scores[i].log_likelihood, sum) << i;
    ASSERT_EQ(scores[i].num_tokens, expected[i].size());
    EXPECT_EQ(scores[i].token_log_likelihoods[0], expected[i][0].log_likelihood);
  }
  EXPECT_GT(scores[pairs.size() - 1].cut_tokens, 0);
  EXPECT_EQ(scores[pairs.size()].num_tokens, 150U);
  EXPECT_EQ(scores[pairs.size() + 1].num_tokens, 0U);
  bf_scores_free(scores);
  EXPECT_EQ(Collect().size(), 1U);
}

TEST_F(ApiArgumentsTest, ScoresOfBadTexts) {
  WriteTinyModel(directory_, TinyTextConfig(), 3, /*overflowing_id=*/'x' + 1);
  engine_options_.dtype = "f32";
  Load();
  bf_score_input inputs[] = {{0, {}, AsText("abcdefgh")}, {0, {}, AsText("xxxxxxxxxx")}};
  bf_score_result* scores = nullptr;
  ASSERT_EQ(bf_score(engine_, inputs, 2, &scores), BF_OK);
  EXPECT_TRUE(std::isfinite(scores[0].log_likelihood));
  EXPECT_TRUE(std::isnan(scores[1].log_likelihood));
  bf_scores_free(scores);
  inputs[1] = {1, AsText("a"), AsText("")};
  EXPECT_EQ(bf_score(engine_, inputs, 2, &scores), BF_INVALID_ARGUMENT);
  EXPECT_EQ(scores, nullptr);
  EXPECT_THAT(bf_last_error(), HasSubstr("inputs[1]"));
  inputs[1] = {2, AsText("a"), AsText("b")};
  EXPECT_EQ(bf_score(engine_, inputs, 2, &scores), BF_INVALID_ARGUMENT);
}

TEST_F(ApiArgumentsTest, AForkedProcessIsToldThatTheEngineIsNotThere) {
  Load();
  const pid_t child = fork();
  if (child == 0) {
    int64_t request = 0;
    const bf_status status = bf_submit_text(engine_, queue_, AsText("a"), &options_, &request);
    bf_engine_free(engine_);
    _exit(status == BF_UNSUPPORTED ? 0 : 1);
  }
  int status = 1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace blockformer
