#include "engine/engine_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <stdexcept>

#include "tests/cpu/tiny_model.h"
#include "tests/engine/wrapped_model.h"
#include "tests/wait_until.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

// How one request ended; kept alive by its callbacks.
struct Outcome {
  std::promise<void> promise;
  std::vector<int32_t> tokens;
  std::optional<Error> error;
};

class EngineLoopTest : public testing::Test {
 protected:
  // A row's results depend on the row alone.
  static std::shared_ptr<const Model> MakeModel() {
    return MakeTinyModel(TinyBlockConfig(), NumberType::kInt8);
  }
  static std::unique_ptr<Engine> MakeEngine(int64_t max_length = 0,
                                            std::shared_ptr<const Model> model = MakeModel()) {
    EngineOptions options;
    options.max_sequences = 4;
    options.max_length = max_length;
    return std::make_unique<Engine>(std::move(model), options);
  }
  static GenerationRequest Generation(int32_t first, int64_t max_tokens = 20) {
    GenerationRequest request;
    request.prompt = {first, 5, 6, 7};
    request.max_tokens = max_tokens;
    request.stop_at_eos = false;
    request.sampling.temperature = 1;
    request.sampling.seed = static_cast<uint64_t>(first);
    return request;
  }
  static LoopRequest Request(GenerationRequest generation,
                             const std::shared_ptr<Outcome>& outcome) {
    LoopRequest request;
    request.generation = std::move(generation);
    request.on_tokens = [outcome](const GeneratedTokens& tokens) {
      outcome->tokens.insert(outcome->tokens.end(), tokens.ids.begin(), tokens.ids.end());
      if (tokens.finished) outcome->promise.set_value();
      return true;
    };
    request.on_failure = [outcome](const Error& error) {
      outcome->error = error;
      outcome->promise.set_value();
    };
    return request;
  }
  static std::vector<int64_t> SubmitOne(EngineLoop* loop, LoopRequest request) {
    std::vector<LoopRequest> requests;
    requests.push_back(std::move(request));
    return loop->Submit(std::move(requests));
  }
  // So long that a test ends it before its end.
  static constexpr int64_t kLong = int64_t{1} << 20;
};

TEST_F(EngineLoopTest, ManyThreadsGetWhatTheEngineAloneGenerates) {
  constexpr int32_t kThreads = 4;
  constexpr int32_t kEach = 6;
  std::vector<GenerationRequest> requests;
  for (int32_t i = 0; i < kThreads * kEach; ++i) requests.push_back(Generation(i));
  const auto expected = GenerateAll(MakeEngine().get(), requests);

  EngineLoop loop(MakeEngine(), {});
  std::vector<std::shared_ptr<Outcome>> outcomes(requests.size());
  for (auto& outcome : outcomes) outcome = std::make_shared<Outcome>();
  std::vector<std::thread> threads;
  for (int32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int32_t i = thread * kEach; i < (thread + 1) * kEach; ++i) {
        const auto index = static_cast<size_t>(i);
        SubmitOne(&loop, Request(requests[index], outcomes[index]));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < outcomes.size(); ++i) {
    outcomes[i]->promise.get_future().wait();
    EXPECT_EQ(outcomes[i]->tokens, expected[i]) << i;
  }
  loop.Stop();
  EXPECT_EQ(loop.stats().open, 0);
  EXPECT_EQ(loop.stats().generated_tokens, kThreads * kEach * 20);
}

TEST_F(EngineLoopTest, ABadRequestFailsAlone) {
  EngineLoop loop(MakeEngine(), {});
  auto good = std::make_shared<Outcome>();
  auto bad = std::make_shared<Outcome>();
  GenerationRequest wrong = Generation(1);
  wrong.prompt[2] = 1000;
  std::vector<LoopRequest> requests;
  requests.push_back(Request(std::move(wrong), bad));
  requests.push_back(Request(Generation(2), good));
  loop.Submit(std::move(requests));
  bad->promise.get_future().wait();
  EXPECT_EQ(bad->error->code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(bad->error->what(), HasSubstr("1000"));
  good->promise.get_future().wait();
  EXPECT_EQ(good->tokens.size(), 20U);
  EXPECT_FALSE(good->error);
}

TEST_F(EngineLoopTest, AFullQueueTakesAllOfACallOrNothing) {
  EngineLoopOptions options;
  options.max_waiting = 2;
  EngineLoop loop(MakeEngine(kLong + 8), options);
  std::vector<LoopRequest> requests;
  for (int32_t i = 0; i < 5; ++i) {
    requests.push_back(Request(Generation(i, kLong), std::make_shared<Outcome>()));
  }
  const std::vector<int64_t> ids = loop.Submit(std::move(requests));
  const auto two = [&] {
    std::vector<LoopRequest> more;
    more.push_back(Request(Generation(7), std::make_shared<Outcome>()));
    more.push_back(Request(Generation(8), std::make_shared<Outcome>()));
    return more;
  };
  try {
    loop.Submit(two());
    FAIL() << "seven sequences do not fit into 4 + 2";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kExhausted);
    EXPECT_THAT(error.what(), HasSubstr("the queue is full: 5 sequences run or wait, 2 more"));
  }
  EXPECT_EQ(loop.stats().open, 5);
  loop.Cancel(ids);
  ASSERT_TRUE(WaitUntil([&] { return loop.stats().open == 0; }));
  loop.Submit(two());
}

TEST_F(EngineLoopTest, CancelEndsASequenceWithinAStep) {
  EngineLoop loop(MakeEngine(kLong + 8), {});
  std::promise<void> begun;
  std::atomic<int> calls = 0;
  LoopRequest request;
  request.generation = Generation(1, kLong);
  request.on_tokens = [&](const GeneratedTokens&) {
    if (++calls == 1) begun.set_value();
    return true;
  };
  const std::vector<int64_t> ids = SubmitOne(&loop, std::move(request));
  begun.get_future().wait();
  loop.Cancel(ids);
  ASSERT_TRUE(WaitUntil([&] { return loop.stats().open == 0; }));
  const int after = calls;
  loop.Cancel(ids);  // of what has ended: nothing happens
  auto next = std::make_shared<Outcome>();
  SubmitOne(&loop, Request(Generation(2), next));
  next->promise.get_future().wait();
  EXPECT_EQ(next->tokens.size(), 20U);
  EXPECT_EQ(calls, after);
}

TEST_F(EngineLoopTest, ARequestEndsAtItsDeadline) {
  EngineLoop loop(MakeEngine(kLong + 8), {});
  auto late = std::make_shared<Outcome>();
  auto other = std::make_shared<Outcome>();
  LoopRequest request = Request(Generation(1, kLong), late);
  request.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  SubmitOne(&loop, std::move(request));
  late->promise.get_future().wait();
  EXPECT_EQ(late->error->code(), ErrorCode::kExhausted);
  LoopRequest past = Request(Generation(1), other);
  past.deadline = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  SubmitOne(&loop, std::move(past));
  other->promise.get_future().wait();
  EXPECT_TRUE(other->error);
  EXPECT_TRUE(other->tokens.empty());
}

TEST_F(EngineLoopTest, ACallbackThatThrowsEndsItsSequenceAlone) {
  EngineLoop loop(MakeEngine(), {});
  auto good = std::make_shared<Outcome>();
  LoopRequest bad;
  bad.generation = Generation(1);
  bad.on_tokens = [](const GeneratedTokens&) -> bool { throw std::runtime_error("full"); };
  std::promise<ErrorCode> told;
  bad.on_failure = [&](const Error& error) { told.set_value(error.code()); };
  std::vector<LoopRequest> requests;
  requests.push_back(std::move(bad));
  requests.push_back(Request(Generation(2), good));
  loop.Submit(std::move(requests));
  good->promise.get_future().wait();
  EXPECT_EQ(good->tokens.size(), 20U);
  EXPECT_EQ(told.get_future().get(), ErrorCode::kInternal);
  ASSERT_TRUE(WaitUntil([&] { return loop.stats().open == 0; }));
}

TEST_F(EngineLoopTest, AStepThatThrowsEndsAllAndNothingIsAcceptedAfterIt) {
  EngineLoop loop(MakeEngine(0, BreakingModel(MakeModel(), 3)), {});
  std::vector<std::shared_ptr<Outcome>> outcomes;
  std::vector<LoopRequest> requests;
  for (int32_t first = 0; first < 8; ++first) {  // half of them wait
    outcomes.push_back(std::make_shared<Outcome>());
    requests.push_back(Request(Generation(first, 40), outcomes.back()));
  }
  EXPECT_FALSE(loop.stats().failed);
  loop.Submit(std::move(requests));
  for (const auto& outcome : outcomes) {
    outcome->promise.get_future().wait();
    ASSERT_TRUE(outcome->error);
    EXPECT_EQ(outcome->error->code(), ErrorCode::kInternal);
  }
  ASSERT_TRUE(WaitUntil([&] { return loop.stats().failed; }));
  EXPECT_EQ(loop.stats().open, 0);
  EXPECT_FALSE(loop.stats().accepting);
  try {
    SubmitOne(&loop, Request(Generation(1), std::make_shared<Outcome>()));
    ADD_FAILURE() << "is accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInterrupted);
    EXPECT_STREQ(error.what(), "the engine has failed");
  }
}

TEST_F(EngineLoopTest, WorkRunsOnTheEnginesThreadWhileSequencesRun) {
  EngineLoop loop(MakeEngine(kLong + 8), {});
  std::promise<std::thread::id> callback_thread;
  std::atomic<int> calls = 0;
  LoopRequest request;
  request.generation = Generation(1, kLong);
  request.on_tokens = [&](const GeneratedTokens&) {
    if (++calls == 1) callback_thread.set_value(std::this_thread::get_id());
    return true;
  };
  SubmitOne(&loop, std::move(request));
  std::promise<std::thread::id> work_thread;
  loop.Post([&] { work_thread.set_value(std::this_thread::get_id()); });
  EXPECT_EQ(work_thread.get_future().get(), callback_thread.get_future().get());
}

TEST_F(EngineLoopTest, DrainRefusesWhatIsNewAndEndsWhatIsThere) {
  EngineLoop loop(MakeEngine(), {});
  auto outcome = std::make_shared<Outcome>();
  SubmitOne(&loop, Request(Generation(1), outcome));
  loop.Drain();
  for (const auto& refused : std::vector<std::function<void()>>{
           [&] { SubmitOne(&loop, Request(Generation(2), std::make_shared<Outcome>())); },
           [&] { loop.Post([] {}); }}) {
    try {
      refused();
      FAIL() << "the loop takes nothing more";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInterrupted);
    }
  }
  outcome->promise.get_future().wait();
  EXPECT_EQ(outcome->tokens.size(), 20U);
  EXPECT_FALSE(outcome->error);
}

TEST_F(EngineLoopTest, StopEndsAllRequestsAndTellsThem) {
  std::vector<std::shared_ptr<Outcome>> outcomes;
  auto held = std::make_shared<int>(0);
  {
    EngineLoop loop(MakeEngine(kLong + 8), {});
    for (int32_t i = 0; i < 8; ++i) {
      outcomes.push_back(std::make_shared<Outcome>());
      SubmitOne(&loop, Request(Generation(i, kLong), outcomes.back()));
    }
    for (int i = 0; i < 100; ++i) loop.Post([held] {});
  }
  EXPECT_EQ(held.use_count(), 1);  // work that did not run is gone
  for (const auto& outcome : outcomes) {
    outcome->promise.get_future().wait();
    EXPECT_EQ(outcome->error->code(), ErrorCode::kInterrupted);
  }
}

}  // namespace
}  // namespace blockformer
