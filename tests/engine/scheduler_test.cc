#include "engine/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace blockformer {
namespace {

SchedulerLimits Limits(int64_t sequences, int64_t units, int64_t pages, int64_t page_size) {
  return {sequences, units, pages, page_size};
}

// A part of a step, and whose it is.
struct Item : StepPart {
  int64_t id = 0;
  bool opens = false;
};

std::vector<Item> Items(const StepPlan& plan) {
  std::vector<Item> items;
  for (size_t i = 0; i < plan.sequences.size(); ++i) {
    items.push_back({plan.step.parts.at(i), plan.sequences[i].id, plan.sequences[i].opens});
  }
  EXPECT_EQ(items.size(), plan.step.parts.size());
  return items;
}

std::vector<int64_t> Ids(const std::vector<Item>& step) {
  std::vector<int64_t> ids;
  for (const Item& item : step) ids.push_back(item.id);
  return ids;
}

// Carries out a step.
std::vector<Item> TakeStep(Scheduler* scheduler) {
  std::vector<Item> items = Items(scheduler->Plan());
  scheduler->StepStarted();
  scheduler->StepDone();
  return items;
}

TEST(SchedulerTest, ReadsPromptsInChunksBesideSequencesThatGenerate) {
  Scheduler scheduler(Limits(4, 3, 100, 4));
  scheduler.Submit({2, 10});
  scheduler.Submit({5, 10});
  const auto first = TakeStep(&scheduler);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].units, 2);
  EXPECT_TRUE(first[0].generates);
  EXPECT_EQ(first[1].units, 1) << "what the first prompt left of the budget";
  EXPECT_FALSE(first[1].generates);
  const auto second = TakeStep(&scheduler);
  EXPECT_EQ(second[0].begin, 2);
  EXPECT_EQ(second[0].units, 1);
  EXPECT_TRUE(second[0].generates);
  EXPECT_EQ(second[1].begin, 1);
  EXPECT_EQ(second[1].units, 3);
  EXPECT_FALSE(second[1].generates);
  EXPECT_TRUE(TakeStep(&scheduler)[1].generates) << "its last prompt unit";
}

TEST(SchedulerTest, AdmitsByPagesInTheOrderOfArrival) {
  Scheduler scheduler(Limits(10, 100, 4, 2));
  scheduler.Submit({4, 6});  // two pages, and one to go on
  scheduler.Submit({3, 5});  // two: must wait
  scheduler.Submit({1, 2});  // one would fit, but does not overtake
  EXPECT_THAT(Ids(TakeStep(&scheduler)), testing::ElementsAre(0));
  scheduler.Finish(0);
  EXPECT_THAT(Ids(TakeStep(&scheduler)), testing::ElementsAre(1, 2));
}

TEST(SchedulerTest, ServesHigherPrioritiesFirst) {
  Scheduler scheduler(Limits(2, 100, 100, 2));
  scheduler.Submit({1, 9});
  scheduler.Submit({1, 9}, /*priority=*/-1);
  EXPECT_THAT(Ids(TakeStep(&scheduler)), testing::ElementsAre(0, 1));
  scheduler.Submit({1, 9});
  scheduler.Submit({1, 9}, /*priority=*/7);
  EXPECT_THAT(Ids(TakeStep(&scheduler)), testing::ElementsAre(3, 0)) << "1 gave its place";
  scheduler.Finish(3);
  EXPECT_THAT(Ids(TakeStep(&scheduler)), testing::ElementsAre(0, 2));
  scheduler.Finish(0);
  const auto step = TakeStep(&scheduler);
  EXPECT_THAT(Ids(step), testing::ElementsAre(2, 1));
  EXPECT_EQ(step[1].units, 2) << "its prompt and what it had generated";
  EXPECT_TRUE(step[1].generates);
}

TEST(SchedulerTest, TheLastOneGivesItsPagesAndComputesAgain) {
  Scheduler scheduler(Limits(10, 100, 4, 2));
  scheduler.Submit({1, 8});
  scheduler.Submit({1, 8});
  EXPECT_EQ(scheduler.stats().waiting, 2);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(TakeStep(&scheduler).size(), 2U);
  EXPECT_EQ(scheduler.stats().running, 2);
  EXPECT_EQ(scheduler.stats().waiting, 0);
  EXPECT_EQ(scheduler.stats().pages_in_use, 4);
  EXPECT_THAT(Ids(TakeStep(&scheduler)), testing::ElementsAre(0));
  EXPECT_EQ(scheduler.stats().preemptions, 1);
  EXPECT_EQ(scheduler.stats().pages_in_use, 3);
  EXPECT_THAT(Ids(TakeStep(&scheduler)), testing::ElementsAre(0));
  scheduler.Finish(0);
  const auto step = TakeStep(&scheduler);
  ASSERT_THAT(Ids(step), testing::ElementsAre(1));
  EXPECT_EQ(step[0].begin, 0);
  EXPECT_EQ(step[0].units, 5) << "one of the prompt, four generated";
  EXPECT_TRUE(step[0].generates);
}

TEST(SchedulerTest, RefusesWhatNeverFits) {
  Scheduler scheduler(Limits(10, 100, 4, 2));
  EXPECT_THROW(scheduler.Submit({1, 9}), Error);
  EXPECT_EQ(scheduler.stats().waiting, 0);
  const int64_t id = scheduler.Submit({1, 8});
  EXPECT_EQ(scheduler.stats().waiting, 1);
  scheduler.Finish(id);  // while it waits
  EXPECT_EQ(scheduler.stats().waiting, 0);
}

TEST(SchedulerTest, GivenUnitsAreNotComputed) {
  Scheduler scheduler(Limits(10, 100, 8, 2));
  scheduler.Submit({9, 12, /*given_units=*/8});
  const auto step = TakeStep(&scheduler);
  EXPECT_EQ(step[0].begin, 8);
  EXPECT_EQ(step[0].units, 1);
  EXPECT_TRUE(step[0].generates);
  EXPECT_EQ(scheduler.stats().pages_in_use, 5);
}

TEST(SchedulerTest, AStepThatWasNotCarriedOutIsPlannedAnew) {
  Scheduler scheduler(Limits(10, 3, 8, 2));
  scheduler.Submit({4, 6});
  scheduler.Plan();
  const auto again = TakeStep(&scheduler);
  EXPECT_EQ(again[0].begin, 0);
  EXPECT_EQ(again[0].units, 3);
  EXPECT_EQ(TakeStep(&scheduler)[0].begin, 3);
  EXPECT_EQ(scheduler.stats().pages_in_use, 2);
}

// A scheduler with a simulated engine, which checks that what a sequence sees on its pages is what
// it would have written there.
class Simulation {
 public:
  struct State {
    std::vector<int32_t> tokens;   // [units, L]
    std::vector<uint64_t> values;  // of units: what their keys and values are made of, all before
    SequenceSize size;
    int32_t priority = 0;
    int64_t generated = 0;     // units
    int64_t read = 0;          // of them, those that the scheduler may ask for
    int64_t submitted = 0;     // when
    int64_t last_served = -1;  // when
  };

  Simulation(const SchedulerLimits& limits, int64_t unit_length, size_t steps_in_flight = 1)
      : limits_(limits),
        length_(unit_length),
        steps_in_flight_(steps_in_flight),
        memory_(limits.num_pages),
        pages_(limits.max_sequences),
        scheduler_(limits, [this](int64_t id, int64_t begin, int64_t count) {
          const State& state = open_.at(id);
          EXPECT_LE(begin + count, state.size.prompt_units + state.read) << "not read yet";
          const auto tokens = state.tokens.begin();
          return std::vector<int32_t>(tokens + begin * length_, tokens + (begin + count) * length_);
        }) {
    for (auto& page : memory_) page.resize(limits.page_size);
  }

  // `tokens` are padded on the left to whole units.
  int64_t Submit(std::vector<int32_t> tokens, int64_t new_units, int32_t priority = 0) {
    const int64_t count = static_cast<int64_t>(tokens.size());
    tokens.insert(tokens.begin(), static_cast<size_t>((length_ - count % length_) % length_), -1);
    State state;
    state.size.prompt_units = static_cast<int64_t>(tokens.size()) / length_;
    state.size.total_units = state.size.prompt_units + new_units;
    Append(tokens, &state);
    state.priority = priority;
    state.submitted = now_;
    const int64_t id = scheduler_.Submit(state.size, priority);
    open_.emplace(id, std::move(state));
    return id;
  }

  // Starts steps, as many as may be under way, takes what the oldest has made, and ends the
  // sequences that are complete. Returns their ids.
  std::vector<int64_t> Step() {
    while (under_way_.size() < steps_in_flight_) {
      const StepPlan plan = scheduler_.Plan(/*may_stop=*/under_way_.empty());
      if (plan.step.parts.empty()) break;
      const std::vector<Item> items = Items(plan);
      for (const Item& item : items) Open(item);
      for (const NewPage& page : plan.step.new_pages) SetPage(page);
      for (const Item& item : items) Compute(item);
      scheduler_.StepStarted();
      under_way_.push_back(items);
    }
    EXPECT_TRUE(!under_way_.empty() || open_.empty()) << "nothing goes on";
    if (under_way_.empty()) return {};
    last_step_ = under_way_.front();
    under_way_.pop_front();
    for (const Item& item : last_step_) Read(item);
    scheduler_.StepDone();
    ++now_;
    std::vector<int64_t> ended;
    for (const Item& item : last_step_) {
      const auto found = open_.find(item.id);
      if (found == open_.end() || !item.generates || found->second.read < NewUnits(item.id)) {
        continue;
      }
      End(item.id);
      ended.push_back(item.id);
    }
    return ended;
  }

  void Run() {
    for (int i = 0; !open_.empty(); ++i) {
      ASSERT_LT(i, 1000) << "no end";
      Step();
    }
  }

  void End(int64_t id) {
    scheduler_.Finish(id);
    open_.erase(id);
  }

  const std::map<int64_t, State>& open() const { return open_; }
  const std::vector<Item>& last_step() const { return last_step_; }
  EngineStats stats() const { return scheduler_.stats(); }

 private:
  int64_t NewUnits(int64_t id) const {
    const SequenceSize& size = open_.at(id).size;
    return size.total_units - size.prompt_units;
  }

  void Append(const std::vector<int32_t>& tokens, State* state) const {
    uint64_t value = state->values.empty() ? 0 : state->values.back();
    for (const int32_t token : tokens) {
      value = MixBits(value + static_cast<uint64_t>(token) + 1);
      state->tokens.push_back(token);
      if (static_cast<int64_t>(state->tokens.size()) % length_ == 0) {
        state->values.push_back(value);
      }
    }
  }

  void Open(const Item& item) {
    if (item.opens) pages_.at(item.place).clear();
  }

  void SetPage(const NewPage& page) {
    std::vector<int32_t>& pages = pages_.at(page.place);
    pages.resize(std::max(pages.size(), static_cast<size_t>(page.index) + 1));
    pages[page.index] = page.page;
  }

  void Read(const Item& item) {
    const auto found = open_.find(item.id);
    if (found != open_.end() && item.generates) ++found->second.read;
  }

  uint64_t& Memory(const Item& item, int64_t unit) {
    const int32_t page = pages_.at(item.place).at(unit / limits_.page_size);
    return memory_.at(page)[unit % limits_.page_size];
  }

  void Compute(const Item& item) {
    State& state = open_.at(item.id);
    const int64_t end = item.begin + item.units;
    for (int64_t unit = item.begin; unit < end; ++unit) {
      Memory(item, unit) = state.values[unit];
    }
    for (int64_t unit = 0; unit < end; ++unit) {
      ASSERT_EQ(Memory(item, unit), state.values[unit]) << "unit " << unit;
    }
    ASSERT_EQ(item.generates, end == static_cast<int64_t>(state.values.size()));
    state.last_served = now_;
    if (!item.generates) return;
    ++state.generated;
    // Greedy texts: the same beginning goes on in the same way.
    const int32_t sum = std::accumulate(state.tokens.begin(), state.tokens.end(), 0);
    Append(std::vector<int32_t>(length_, (sum + 7) % 11), &state);
  }

  SchedulerLimits limits_;
  int64_t length_;
  size_t steps_in_flight_;
  std::vector<std::vector<uint64_t>> memory_;  // [pages, page_size] of values
  std::vector<std::vector<int32_t>> pages_;    // by place
  std::deque<std::vector<Item>> under_way_;
  std::map<int64_t, State> open_;
  std::vector<Item> last_step_;
  int64_t now_ = 0;
  Scheduler scheduler_;
};

std::vector<int32_t> RandomTokens(int64_t count, Random* random) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>(random->Below(1000)));
  return tokens;
}

// Whose turn it is among those that are there.
int64_t FirstInOrder(const Simulation& simulation) {
  const auto before = [](const auto& a, const auto& b) {
    return std::pair(-a.second.priority, a.first) < std::pair(-b.second.priority, b.first);
  };
  return std::min_element(simulation.open().begin(), simulation.open().end(), before)->first;
}

// None is served for the first time before another of the same priority that came earlier.
void ExpectFirstComeFirstServed(const Simulation& simulation) {
  std::map<int32_t, int64_t> passed;  // the first of each priority that was never served
  for (const auto& [id, state] : simulation.open()) {
    if (state.last_served < 0) {
      passed.emplace(state.priority, id);
    } else {
      ASSERT_FALSE(passed.contains(state.priority)) << id << " before " << passed[state.priority];
    }
  }
}

// With as many steps under way at once.
class ArrivalsTest : public testing::TestWithParam<size_t> {};

TEST_P(ArrivalsTest, AllEndWithinTheLimits) {
  constexpr int64_t kArrivals = 10'000;
  const SchedulerLimits limits = Limits(6, 16, 24, 4);
  Simulation simulation(limits, 1, GetParam());
  Random random(1);
  const std::vector<int32_t> beginning = RandomTokens(20, &random);
  int64_t arrived = 0;
  int64_t ended = 0;
  int64_t longest_wait = 0;
  int64_t now = 0;
  for (; ended < kArrivals; ++now) {
    ASSERT_LT(now, 20 * kArrivals) << "starvation";
    if (arrived < kArrivals && simulation.open().size() < 30 && random.Below(3) == 0) {
      std::vector<int32_t> prompt =
          RandomTokens(1 + static_cast<int64_t>(random.Below(30)), &random);
      if (random.Below(2) == 0) prompt.insert(prompt.begin(), beginning.begin(), beginning.end());
      simulation.Submit(prompt, 1 + static_cast<int64_t>(random.Below(30)),
                        static_cast<int32_t>(random.Below(3)) - 1);
      ++arrived;
    }
    if (simulation.open().empty()) continue;
    if (random.Below(50) == 0) {  // one is cancelled
      simulation.End(simulation.open().begin()->first);
      ++ended;
    }
    if (simulation.open().empty()) continue;
    std::map<int64_t, int64_t> prompt_units;
    for (const auto& [id, state] : simulation.open()) prompt_units[id] = state.size.prompt_units;
    const int64_t first = FirstInOrder(simulation);
    const std::vector<int64_t> ended_now = simulation.Step();
    ended += static_cast<int64_t>(ended_now.size());
    if (GetParam() == 1) {
      ASSERT_EQ(simulation.last_step().front().id, first) << "the first one has to go on";
    }
    ASSERT_NO_FATAL_FAILURE(ExpectFirstComeFirstServed(simulation));
    ASSERT_LE(static_cast<int64_t>(simulation.last_step().size()), limits.max_sequences);
    int64_t chunks = 0;
    for (const Item& item : simulation.last_step()) {
      if (item.units > 1 || item.begin < prompt_units[item.id]) chunks += item.units;
    }
    ASSERT_LE(chunks, limits.max_units_per_step);
    for (const auto& [id, state] : simulation.open()) {
      if (state.priority == 1) longest_wait = std::max(longest_wait, now - state.submitted);
    }
  }
  const EngineStats stats = simulation.stats();
  EXPECT_EQ(stats.pages_in_use, 0) << "pages were leaked";
  EXPECT_GT(stats.preemptions, 1000);
  EXPECT_GT(stats.cached_prompt_units, 10'000);
  EXPECT_LT(longest_wait, 300) << "one of the highest priority waited for others";
}

INSTANTIATE_TEST_SUITE_P(StepsUnderWay, ArrivalsTest, testing::Values(1, 2, 3),
                         testing::PrintToStringParamName());

class PrefixTest : public testing::TestWithParam<int64_t> {};

// Left padding shifts the blocks with the prompt's length modulo L, so a beginning is known from
// then on for the lengths that were seen.
TEST_P(PrefixTest, ABeginningIsComputedOnceForEachAlignment) {
  const int64_t length = GetParam();
  constexpr int64_t kPageSize = 4;
  Simulation simulation(Limits(4, 100, 1000, kPageSize), length);
  Random random(2);
  const std::vector<int32_t> beginning = RandomTokens(40 * length + 1, &random);
  std::vector<bool> seen(length);
  for (int64_t i = 0; i < 60; ++i) {
    std::vector<int32_t> prompt = beginning;
    for (const int32_t token : RandomTokens(i * 7 % 23, &random)) prompt.push_back(token);
    const int64_t tokens = static_cast<int64_t>(prompt.size());
    simulation.Submit(prompt, 2);
    const EngineStats before = simulation.stats();
    simulation.Run();
    const int64_t cached = simulation.stats().cached_prompt_units - before.cached_prompt_units;
    const int64_t computed =
        simulation.stats().computed_prompt_units - before.computed_prompt_units;
    EXPECT_EQ(cached + computed, (tokens + length - 1) / length);
    auto alignment = seen.begin() + tokens % length;
    if (*alignment) {
      EXPECT_GE(cached, 40 / kPageSize * kPageSize - kPageSize);
    } else {
      EXPECT_EQ(cached, 0);
    }
    *alignment = true;
  }
}

TEST_P(PrefixTest, AConversationGoesOnFromWhatWasGenerated) {
  const int64_t length = GetParam();
  Simulation simulation(Limits(4, 100, 1000, 4), length);
  Random random(3);
  std::vector<int32_t> text = RandomTokens(10 * length, &random);
  const int64_t id = simulation.Submit(text, 14);
  while (simulation.open().contains(id)) {
    text = simulation.open().at(id).tokens;
    simulation.Step();
  }
  simulation.Submit(text, 1);  // 23 units: the last generated one is not among them
  simulation.Run();
  EXPECT_EQ(simulation.stats().cached_prompt_units, 20);
}

INSTANTIATE_TEST_SUITE_P(Lengths, PrefixTest, testing::Values(1, 3, 4),
                         testing::PrintToStringParamName());

TEST(PrefixTest, TheLastUnitIsAlwaysComputed) {
  Simulation simulation(Limits(4, 100, 1000, 4), 1);
  Random random(4);
  const std::vector<int32_t> prompt = RandomTokens(8, &random);
  for (int i = 0; i < 2; ++i) {
    simulation.Submit(prompt, 1);
    simulation.Run();
  }
  EXPECT_EQ(simulation.stats().cached_prompt_units, 4);
}

TEST(PrefixTest, EqualPromptsThatRunTogetherEndUpOnOnePage) {
  Simulation simulation(Limits(8, 100, 1000, 4), 1);
  Random random(5);
  const std::vector<int32_t> prompt = RandomTokens(17, &random);
  for (int i = 0; i < 3; ++i) simulation.Submit(prompt, 5);
  simulation.Step();
  EXPECT_EQ(simulation.stats().pages_in_use, 4 + 3) << "four full ones, and the fifth of each";
  for (int i = 0; i < 3; ++i) simulation.Step();
  EXPECT_EQ(simulation.stats().pages_in_use, 5);
  simulation.Run();
  EXPECT_EQ(simulation.stats().pages_in_use, 0);
}

TEST(PrefixTest, ALongPromptIsReadOnceByAllThatCameTogether) {
  Simulation simulation(Limits(8, 16, 1000, 4), 1);
  Random random(6);
  const std::vector<int32_t> prompt = RandomTokens(101, &random);
  for (int i = 0; i < 5; ++i) simulation.Submit(prompt, 1);
  simulation.Run();
  EXPECT_LE(simulation.stats().computed_prompt_units, 101 + 4 * 5) << "but for the last page";
}

TEST(PrefixTest, TheLongestUnusedPagesGoFirst) {
  Simulation simulation(Limits(1, 100, 10, 4), 1);
  Random random(7);
  const std::vector<int32_t> a = RandomTokens(13, &random);
  const std::vector<int32_t> b = RandomTokens(13, &random);
  const auto found = [&](const std::vector<int32_t>& prompt) {
    const int64_t before = simulation.stats().cached_prompt_units;
    simulation.Submit(prompt, 1);
    simulation.Run();
    return simulation.stats().cached_prompt_units - before;
  };
  EXPECT_EQ(found(a), 0);
  EXPECT_EQ(found(b), 0);
  EXPECT_EQ(simulation.stats().pages_cached, 6);
  EXPECT_EQ(found(a), 12);                         // b is the longest unused now
  EXPECT_EQ(found(RandomTokens(21, &random)), 0);  // six pages, of which four are free
  EXPECT_EQ(found(a), 12);
  EXPECT_EQ(found(b), 4) << "its end went before its beginning";
}

TEST(PrefixTest, NothingIsSharedWithoutContents) {
  Scheduler scheduler(Limits(4, 100, 100, 4));
  for (int i = 0; i < 2; ++i) {
    const int64_t id = scheduler.Submit({9, 10});
    TakeStep(&scheduler);
    scheduler.Finish(id);
  }
  EXPECT_EQ(scheduler.stats().cached_prompt_units, 0);
  EXPECT_EQ(scheduler.stats().pages_cached, 0);
}

TEST(PagePoolTest, TellsPagesApartByWhatComesBefore) {
  PagePool pool(8);
  const std::vector<int32_t> same = {1, 2, 3};
  std::vector<int32_t> one = {pool.Take(), pool.Take()};
  pool.Cache(one[0], PagePool::kNoPage, {7, 7, 7});
  pool.Cache(one[1], one[0], same);
  EXPECT_EQ(pool.Find(PagePool::kNoPage, same), std::nullopt);
  EXPECT_EQ(pool.Find(one[1], same), std::nullopt);
  EXPECT_EQ(pool.Find(one[0], same), one[1]);
  std::vector<int32_t> other = {one[1]};
  pool.Release(&other);
  EXPECT_EQ(pool.num_cached(), 0) << "the first sequence uses it still";
  pool.Release(&one);
  EXPECT_TRUE(one.empty());
  EXPECT_EQ(pool.num_cached(), 2);
  EXPECT_EQ(pool.num_available(), 8);
}

TEST(PagePoolTest, WhatIsForgottenIsNotFoundNorWhatComesBehind) {
  PagePool pool(8);
  const auto known = [&](int32_t previous, int32_t contents) {
    return pool.Cache(pool.Take(), previous, {contents});
  };
  std::vector<int32_t> bad = {known(PagePool::kNoPage, 1)};
  bad.push_back(known(bad[0], 2));
  std::vector<int32_t> behind = {*pool.Find(PagePool::kNoPage, {1}), known(bad[0], 3)};
  std::vector<int32_t> other = {known(PagePool::kNoPage, 9)};
  pool.Release(&behind);  // nobody uses its last page, which is kept
  pool.Forget(bad[0]);
  EXPECT_FALSE(pool.Find(PagePool::kNoPage, {1}));
  EXPECT_FALSE(pool.Find(bad[0], {2}));
  EXPECT_FALSE(pool.Find(bad[0], {3}));
  EXPECT_EQ(pool.num_cached(), 0);
  // A user of the forgotten page goes on, unknown.
  bad.push_back(known(bad[1], 4));
  EXPECT_FALSE(pool.Find(bad[1], {4}));
  pool.Release(&bad);
  pool.Release(&other);
  EXPECT_EQ(pool.num_cached(), 1);
  EXPECT_EQ(pool.num_available(), 8);
  EXPECT_TRUE(pool.Find(PagePool::kNoPage, {9}));
}

TEST(PagePoolTest, RefusesMoreThanThereAre) {
  PagePool pool(1);
  pool.Take();
  EXPECT_THROW(pool.Take(), Error);
}

}  // namespace
}  // namespace blockformer
