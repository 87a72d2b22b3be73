// An engine over a runner that takes two steps before the first of them is waited for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>

#include "engine/engine.h"
#include "tests/engine/engine_fixture.h"
#include "tests/engine/wrapped_model.h"

namespace blockformer {
namespace {

// Computes a step when it is waited for, so that several are under way.
class LateRunner : public Runner {
 public:
  explicit LateRunner(std::unique_ptr<Runner> runner) : runner_(std::move(runner)) {}

  int64_t MaxStepsInFlight() const override { return 2; }
  void Open(int64_t place, SequenceStart start) override {
    work_.push_back([this, place, start = std::move(start)] { runner_->Open(place, start); });
  }
  void Start(const Step& step) override {
    work_.push_back([this, step] { runner_->Start(step); });
    ends_.push_back(work_.size());
  }
  StepResult Wait() override {
    for (; done_ < ends_.front(); ++done_) work_[done_]();
    ends_.pop_front();
    return runner_->Wait();
  }
  std::vector<TokenScore> Score(const ScoreStep& step) override { return runner_->Score(step); }
  ForwardOutput Forward(const ForwardInput& input) override { return runner_->Forward(input); }

 private:
  std::unique_ptr<Runner> runner_;
  std::vector<std::function<void()>> work_;
  std::deque<size_t> ends_;
  size_t done_ = 0;
};

std::shared_ptr<const Model> LateModel(std::shared_ptr<const Model> model) {
  return std::make_shared<WrappedModel>(std::move(model), [](std::unique_ptr<Runner> runner) {
    return std::make_unique<LateRunner>(std::move(runner));
  });
}

class StepsUnderWayTest : public EngineFixture {};

TEST_P(StepsUnderWayTest, ARunnerWithoutConstraintsRefusesThem) {
  GenerationRequest request = Request({1, 2}, 4);
  request.make_constraint = [] { return nullptr; };
  Engine engine(LateModel(model_), {});
  try {
    engine.Submit(request, [](const GeneratedTokens&) { return true; });
    ADD_FAILURE() << "is taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), testing::HasSubstr("device cpu"));
  }
}

TEST_P(StepsUnderWayTest, ChangeNothing) {
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < 30; ++i) {
    requests.push_back(Request(RandomPrompt(1 + 5 * i % 41, static_cast<uint64_t>(i)), 90 + i * 3));
    requests.back().sampling.temperature = i % 2 == 0 ? 0.0 : 0.8;
    requests.back().stop_at_eos = i % 3 == 0;
    requests.back().priority = static_cast<int32_t>(i % 3);
  }
  EngineOptions options;
  options.max_length = 240;
  options.max_sequences = 1;
  const int64_t sequence_bytes = Engine(model_, options).options().memory_bytes;
  options.max_sequences = 6;
  options.memory_bytes = 5 * sequence_bytes / 2;
  Engine late(LateModel(model_), options);
  const auto together = GenerateAll(&late, requests);
  EXPECT_GT(late.stats().preemptions, 0);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(together[i], Alone(requests[i], options)) << "request " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, StepsUnderWayTest, testing::ValuesIn(TinyNames()),
                         [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace blockformer
