#include "bench/decode_plan.h"

#include <gtest/gtest.h>

#include "devices/devices.h"
#include "engine/engine.h"
#include "tests/cpu/tiny_model_directory.h"

namespace blockformer {
namespace {

// How many tokens a real engine has made behind each step that makes any.
struct EngineRun {
  std::vector<int64_t> made;
  int64_t made_in_prefill = 0;
};

EngineRun RunEngine(const ModelConfig& config, const ThroughputSetting& setting) {
  EngineOptions options;
  options.max_sequences = setting.batch;
  options.max_length = setting.length();
  Engine engine(RandomModel(config, 1), options);
  EngineRun run;
  int64_t made = 0;
  std::vector<bool> started(setting.batch);
  for (size_t i = 0; i < started.size(); ++i) {
    GenerationRequest request;
    request.prompt.assign(setting.prompt, static_cast<int32_t>(i));
    request.max_tokens = setting.generate;
    request.stop_at_eos = false;
    engine.Submit(std::move(request), [&, i](const GeneratedTokens& tokens) {
      made += std::ssize(tokens.ids);
      started[i] = true;
      return true;
    });
  }
  while (engine.Step()) {
    if (run.made.empty() ? made > 0 : made > run.made.back()) run.made.push_back(made);
    const bool all = std::find(started.begin(), started.end(), false) == started.end();
    if (all && run.made_in_prefill == 0) run.made_in_prefill = made;
  }
  return run;
}

ModelConfig VanillaConfig() {
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = 50;
  config.decoder = {8, 1, 1, 8};
  return config;
}

void ExpectTheEnginesSteps(const ModelConfig& config, const ThroughputSetting& setting) {
  const int64_t length = config.UnitLength();
  const DecodePlan plan = PlanDecoding(setting, length, EngineOptions().max_prefill_tokens);
  const EngineRun run = RunEngine(config, setting);
  EXPECT_EQ(plan.tokens_in_prefill, run.made_in_prefill);
  int64_t later_units = 0;
  for (const DecodeStep& step : plan.steps) later_units += step.sequences;
  EXPECT_EQ(later_units, setting.batch * ((setting.generate + length - 1) / length - 1));
  // Behind the prefill, each step of the plan is one of the engine, with as many tokens.
  const size_t later_steps = plan.steps.size() - plan.steps_in_prefill;
  ASSERT_GT(run.made.size(), later_steps);
  int64_t made = run.made_in_prefill;
  for (size_t i = 0; i < later_steps; ++i) {
    made += plan.steps[plan.steps_in_prefill + i].sequences * length;
    EXPECT_EQ(made, run.made[run.made.size() - later_steps + i]) << i;
  }
}

TEST(DecodePlanTest, HasTheStepsOfTheEngine) {
  ExpectTheEnginesSteps(VanillaConfig(), {1, 5, 4});
  ExpectTheEnginesSteps(VanillaConfig(), {5, 300, 7});  // several chunks; some end early
  ExpectTheEnginesSteps(VanillaConfig(), {4, 700, 3});  // prompts longer than a chunk
  ExpectTheEnginesSteps(TinyTextConfig(), {3, 9, 8});   // unaligned prompts
  ExpectTheEnginesSteps(TinyTextConfig(), {6, 300, 40});
}

TEST(DecodePlanTest, ContextsAreThoseBehindEachUnit) {
  const DecodePlan plan = PlanDecoding({2, 8, 12}, 4, 512);
  ASSERT_EQ(plan.steps.size(), 2U);
  EXPECT_EQ(plan.steps_in_prefill, 0U);
  EXPECT_EQ(plan.tokens_in_prefill, 8);
  EXPECT_EQ(plan.steps[0].sequences, 2);
  EXPECT_EQ(plan.steps[0].context, 12);
  EXPECT_EQ(plan.steps[1].context, 16);
}

TEST(DecodePlanTest, OneUnitLeavesNothingToDecode) {
  const DecodePlan plan = PlanDecoding({3, 8, 4}, 4, 512);
  EXPECT_TRUE(plan.steps.empty());
  EXPECT_EQ(plan.tokens_in_prefill, 12);
  const DecodeTime time = IntegrateDecoding(plan, 4, 8, [](const DecodeStep&) { return 1.0; });
  EXPECT_EQ(time.total, 0);
  EXPECT_TRUE(time.by_context.empty());
}

// A made-up time of a step: reading weights, products of each sequence, and attention.
double StepSeconds(const DecodeStep& step) {
  const double sequences = static_cast<double>(step.sequences);
  return 0.01 + 0.002 * sequences + 1e-6 * sequences * static_cast<double>(step.context);
}

TEST(DecodePlanTest, AFewDepthsGiveTheTimeOfAllSteps) {
  for (const ThroughputSetting& setting :
       {ThroughputSetting{32, 128, 2048}, ThroughputSetting{32, 2048, 128},
        ThroughputSetting{1, 2048, 128}, ThroughputSetting{100, 2048, 128}}) {
    const DecodePlan plan = PlanDecoding(setting, 1, 512);
    double total = 0;
    double in_prefill = 0;
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      total += StepSeconds(plan.steps[i]);
      if (i < plan.steps_in_prefill) in_prefill += StepSeconds(plan.steps[i]);
    }
    int64_t calls = 0;
    const DecodeTime time = IntegrateDecoding(plan, 1, 8, [&](const DecodeStep& step) {
      ++calls;
      return StepSeconds(step);
    });
    EXPECT_EQ(calls, 8);
    EXPECT_NEAR(time.total / total, 1, 0.02) << setting.batch << " " << setting.prompt;
    EXPECT_NEAR(time.in_prefill, in_prefill, 0.03 * total);
    ASSERT_EQ(time.by_context.size(), 8U);
    EXPECT_LT(time.by_context.front().context, time.by_context.back().context);
  }
}

TEST(DecodePlanTest, MoreDepthsThanStepsAreExact) {
  const DecodePlan plan = PlanDecoding({2, 10, 6}, 1, 512);
  double total = 0;
  for (const DecodeStep& step : plan.steps) total += StepSeconds(step);
  EXPECT_DOUBLE_EQ(IntegrateDecoding(plan, 1, 100, StepSeconds).total, total);
}

}  // namespace
}  // namespace blockformer
