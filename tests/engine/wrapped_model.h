#ifndef BLOCKFORMER_TESTS_ENGINE_WRAPPED_MODEL_H_
#define BLOCKFORMER_TESTS_ENGINE_WRAPPED_MODEL_H_

#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "runner/model.h"
#include "runner/runner.h"

namespace blockformer {

// A model whose runners are those of another one, in a wrapper that a test makes.
class WrappedModel : public Model {
 public:
  using Wrap = std::function<std::unique_ptr<Runner>(std::unique_ptr<Runner>)>;

  WrappedModel(std::shared_ptr<const Model> model, Wrap wrap)
      : Model(model->config()), model_(std::move(model)), wrap_(std::move(wrap)) {}
  NumberType weight_type() const override { return model_->weight_type(); }
  std::string device() const override { return model_->device(); }
  int64_t BytesPerPage(NumberType type, int64_t size) const override {
    return model_->BytesPerPage(type, size);
  }
  int64_t AvailableBytes() const override { return model_->AvailableBytes(); }
  std::unique_ptr<Runner> MakeRunner(const RunnerOptions& options) const override {
    return wrap_(model_->MakeRunner(options));
  }

 private:
  std::shared_ptr<const Model> model_;
  Wrap wrap_;
};

// Carries out a number of steps; then the device is lost.
class BreakingRunner : public Runner {
 public:
  BreakingRunner(std::unique_ptr<Runner> runner, int64_t steps)
      : runner_(std::move(runner)), left_(steps) {}

  int64_t MaxStepsInFlight() const override { return runner_->MaxStepsInFlight(); }
  void Open(int64_t place, SequenceStart start) override { runner_->Open(place, std::move(start)); }
  void Start(const Step& step) override { runner_->Start(step); }
  StepResult Wait() override {
    if (left_-- <= 0) throw std::runtime_error("the device is lost");
    return runner_->Wait();
  }
  std::vector<TokenScore> Score(const ScoreStep& step) override { return runner_->Score(step); }
  ForwardOutput Forward(const ForwardInput& input) override { return runner_->Forward(input); }

 private:
  std::unique_ptr<Runner> runner_;
  int64_t left_;
};

// Its runners break after so many steps.
inline std::shared_ptr<const Model> BreakingModel(std::shared_ptr<const Model> model,
                                                  int64_t steps) {
  return std::make_shared<WrappedModel>(std::move(model), [steps](std::unique_ptr<Runner> runner) {
    return std::make_unique<BreakingRunner>(std::move(runner), steps);
  });
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_ENGINE_WRAPPED_MODEL_H_
