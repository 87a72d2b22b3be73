#ifndef BLOCKFORMER_TESTS_API_API_FIXTURE_H_
#define BLOCKFORMER_TESTS_API_API_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "blockformer/blockformer.h"
#include "tests/cpu/tiny_model_directory.h"

namespace blockformer {

inline bf_text AsText(std::string_view text) { return {text.data(), text.size()}; }

// An engine of a tiny random block model, and a queue.
class ApiTest : public testing::Test {
 protected:
  // What a request's events bring together.
  struct Result {
    std::string text;
    std::vector<int32_t> ids;
    std::vector<double> log_probabilities;
    int32_t finish = BF_GOES_ON;
    int32_t stop_id = -1;
    bf_status error = BF_OK;
    std::string message;
    int64_t prompt_tokens = 0;
    int64_t cut_tokens = 0;
    int events = 0;
  };

  // A text of this many tokens takes longer than a test does.
  static constexpr int64_t kLong = int64_t{1} << 20;

  void SetUp() override {
    directory_ = testing::TempDir() + "/api-test-" + std::to_string(getpid());
    WriteTinyModel(directory_, TinyTextConfig());
    WriteFileAtomically(directory_ + "/tokenizer_config.json", R"({"chat_template":
        "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '<|endoftext|>' }}{% endfor %}{% if add_generation_prompt %}you:{% endif %}"})");
    bf_engine_options_init(&engine_options_, sizeof(engine_options_));
    engine_options_.dtype = "int8";
    engine_options_.max_sequences = 4;
    bf_request_options_init(&options_, sizeof(options_));
    options_.max_tokens = 20;
    options_.temperature = 1;
    options_.ignore_end_of_text = 1;
    ASSERT_EQ(bf_queue_create(&queue_), BF_OK);
  }
  void TearDown() override {
    bf_engine_free(engine_);
    bf_queue_free(queue_);
    std::filesystem::remove_all(directory_);
  }

  void Load() {
    ASSERT_EQ(bf_engine_load(directory_.c_str(), &engine_options_, &engine_), BF_OK)
        << bf_last_error();
  }
  int64_t Submit(std::string_view prompt) {
    int64_t request = 0;
    EXPECT_EQ(bf_submit_text(engine_, queue_, AsText(prompt), &options_, &request), BF_OK)
        << bf_last_error();
    return request;
  }
  // A request that only a cancellation or a stop ends.
  int64_t SubmitLong() {
    options_.max_tokens = kLong;
    return Submit("the");
  }
  // Reads the queue until it is idle.
  std::map<int64_t, Result> Collect() {
    std::map<int64_t, Result> results;
    bf_event* event = nullptr;
    while (bf_queue_next(queue_, 60, &event) == BF_OK) {
      Add(*event, &results[event->request]);
      bf_event_free(event);
    }
    return results;
  }
  static void Add(const bf_event& event, Result* result) {
    EXPECT_EQ(result->finish, BF_GOES_ON) << "an event after the last one";
    result->text.append(event.text, event.text_size);
    result->ids.insert(result->ids.end(), event.ids, event.ids + event.num_ids);
    if (event.log_probabilities != nullptr) {
      result->log_probabilities.insert(result->log_probabilities.end(), event.log_probabilities,
                                       event.log_probabilities + event.num_ids);
    }
    result->finish = event.finish;
    result->stop_id = event.stop_id;
    result->error = event.error;
    result->message = event.message;
    result->prompt_tokens = event.prompt_tokens;
    result->cut_tokens = event.cut_tokens;
    ++result->events;
  }
  Result RunOne(std::string_view prompt) {
    const int64_t request = Submit(prompt);
    return Collect()[request];
  }
  // The stats once no request is open.
  bf_engine_stats StatsWhenIdle() {
    bf_engine_stats stats = {};
    do {
      stats.struct_size = sizeof(stats);
      EXPECT_EQ(bf_engine_get_stats(engine_, &stats), BF_OK);
    } while (stats.open > 0);
    return stats;
  }

  std::string directory_;
  bf_engine_options engine_options_;
  bf_request_options options_;
  bf_engine* engine_ = nullptr;
  bf_queue* queue_ = nullptr;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_API_API_FIXTURE_H_
