#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "base/error.h"

namespace blockformer {
namespace {

TEST(ParallelForTest, CoversEveryIndexOnce) {
  for (const int64_t count : {0, 1, 7, 1000}) {
    std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
    ParallelFor(count, 3, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
    });
    for (const auto& visit : visits) EXPECT_EQ(visit, 1);
  }
}

TEST(ParallelForTest, KeepsSmallWorkOnOneThread) {
  int calls = 0;
  ParallelFor(10, 100, [&](int64_t begin, int64_t end) {
    ++calls;
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 10);
  });
  EXPECT_EQ(calls, 1);
}

TEST(ParallelForTest, PassesExceptionsOn) {
  SetNumThreads(2);
  EXPECT_THROW(ParallelFor(2, 1,
                           [](int64_t begin, int64_t) {
                             if (begin == 1) Fail(ErrorCode::kInternal, "thrown");
                           }),
               Error);
}

TEST(ParallelForEachTest, TakesEveryItemOnce) {
  for (const int threads : {1, 2, 3}) {
    SetNumThreads(threads);
    for (const int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
      ParallelForEach(count, 1, [&](int64_t item) { ++visits[static_cast<size_t>(item)]; });
      for (const auto& visit : visits) EXPECT_EQ(visit, 1);
    }
  }
}

// One thread is held up at its first item until all others are done, its own among them.
TEST(ParallelForEachTest, ThreadsHelpOneThatIsSlow) {
  SetNumThreads(2);
  constexpr int64_t kItems = 100;
  std::atomic<int64_t> done = 0;
  ParallelForEach(kItems, 1, [&](int64_t item) {
    while (item == 0 && done < kItems - 1) {
    }
    ++done;
  });
  EXPECT_EQ(done, kItems);
}

TEST(ParallelForEachTest, PassesExceptionsOn) {
  SetNumThreads(2);
  EXPECT_THROW(ParallelForEach(9, 1, [](int64_t item) {
                 if (item == 7) Fail(ErrorCode::kInternal, "thrown");
               }),
               Error);
}

TEST(NumThreadsTest, RefusesImpossibleNumbers) {
  EXPECT_THROW(SetNumThreads(0), Error);
  EXPECT_THROW(SetNumThreads(100'000), Error);
}

}  // namespace
}  // namespace blockformer
