#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "base/random.h"

namespace blockformer {
namespace {

SchedulerLimits Limits(int64_t sequences, int64_t units, int64_t pages, int64_t page_size) {
  return {sequences, units, pages, page_size};
}

TEST(SchedulerTest, ReadsPromptsInChunksBesideSequencesThatGenerate) {
  Scheduler scheduler(Limits(4, 3, 100, 4));
  scheduler.Submit(0, 2, 10);
  scheduler.Submit(1, 5, 10);
  const auto first = scheduler.Plan();
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].units, 2);
  EXPECT_TRUE(first[0].generates);
  EXPECT_EQ(first[1].units, 1) << "what the first prompt left of the budget";
  EXPECT_FALSE(first[1].generates);
  const auto second = scheduler.Plan();
  EXPECT_EQ(second[0].units, 1);
  EXPECT_TRUE(second[0].generates);
  EXPECT_EQ(second[1].units, 3);
  EXPECT_FALSE(second[1].generates);
  EXPECT_TRUE(scheduler.Plan()[1].generates) << "its last prompt unit";
}

TEST(SchedulerTest, AdmitsByPagesInTheOrderOfArrival) {
  Scheduler scheduler(Limits(10, 100, 4, 2));
  scheduler.Submit(0, 1, 6);  // three pages
  scheduler.Submit(1, 1, 4);  // two: must wait
  scheduler.Submit(2, 1, 2);  // one would fit, but does not overtake
  EXPECT_EQ(scheduler.Plan().size(), 1U);
  scheduler.Finish(0);
  EXPECT_EQ(scheduler.Plan().size(), 2U);
}

TEST(SchedulerTest, RefusesWhatNeverFits) {
  Scheduler scheduler(Limits(10, 100, 4, 2));
  EXPECT_THROW(scheduler.Submit(0, 1, 9), Error);
  EXPECT_FALSE(scheduler.HasWork());
  scheduler.Submit(1, 1, 8);
  EXPECT_TRUE(scheduler.HasWork());
  scheduler.Finish(1);  // while it waits
  EXPECT_FALSE(scheduler.HasWork());
}

TEST(SchedulerTest, RandomArrivalsAllEndWithinTheLimits) {
  constexpr int64_t kArrivals = 2000;
  const SchedulerLimits limits = Limits(6, 16, 40, 4);
  Scheduler scheduler(limits);
  Random random(1);
  struct State {
    int64_t prompt, total, computed = 0;
  };
  std::map<int64_t, State> open;
  int64_t arrived = 0;
  int64_t ended = 0;
  int64_t last_ended_start = -1;
  for (int64_t step = 0; ended < kArrivals; ++step) {
    ASSERT_LT(step, 200 * kArrivals) << "starvation";
    if (arrived < kArrivals && random.Below(3) > 0) {
      const int64_t prompt = 1 + static_cast<int64_t>(random.Below(60));
      const int64_t total = prompt + 1 + static_cast<int64_t>(random.Below(60));
      open[arrived] = {prompt, total};
      scheduler.Submit(arrived++, prompt, total);
    }
    int64_t pages = 0;
    int64_t prompt_units = 0;
    const auto plan = scheduler.Plan();
    ASSERT_LE(static_cast<int64_t>(plan.size()), limits.max_sequences);
    for (const StepItem& item : plan) {
      State& state = open.at(item.id);
      if (state.computed < state.prompt) prompt_units += item.units;
      ASSERT_LE(state.computed + item.units, std::max(state.prompt, state.computed + 1));
      state.computed += item.units;
      ASSERT_EQ(item.generates, state.computed >= state.prompt);
      pages += (state.total + limits.page_size - 1) / limits.page_size;
    }
    ASSERT_LE(prompt_units, limits.max_units_per_step);
    ASSERT_LE(pages, limits.num_pages);
    for (const StepItem& item : plan) {
      if (open.at(item.id).computed < open.at(item.id).total) continue;
      scheduler.Finish(item.id);
      open.erase(item.id);
      ++ended;
      last_ended_start = std::max(last_ended_start, item.id);
      // None is passed over: a sequence waits at most for those that run beside it.
      for (const auto& [id, state] : open) {
        if (state.computed == 0) {
          ASSERT_GT(id, last_ended_start - limits.max_sequences);
        }
      }
    }
  }
  EXPECT_FALSE(scheduler.HasWork());
}

}  // namespace
}  // namespace blockformer
