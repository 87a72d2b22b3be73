#include "base/parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "base/error.h"

namespace blockformer {
namespace {

TEST(ParallelForTest, CoversEveryIndexOnce) {
  for (const int64_t count : {0, 1, 7, 1000}) {
    std::vector<std::atomic<int>> visits(count);
    ParallelFor(count, 3, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++visits[i];
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
      std::vector<std::atomic<int>> visits(count);
      ParallelForEach(count, 1, [&](int64_t item) { ++visits[item]; });
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
  EXPECT_THROW(ParallelForEach(9, 1,
                               [](int64_t item) {
                                 if (item == 7) Fail(ErrorCode::kInternal, "thrown");
                               }),
               Error);
}

// The split, and with it the order of sums, must not depend on which threads come by.
TEST(ParallelForTest, RangesHaveIndicesOfTheirOwn) {
  SetNumThreads(3);
  for (int i = 0; i < 100; ++i) {
    std::vector<int> index_at(9, -1);
    ParallelFor(9, 1, [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; ++j) index_at[j] = ThreadIndex();
    });
    EXPECT_EQ(index_at, (std::vector<int>{0, 0, 0, 1, 1, 1, 2, 2, 2}));
  }
  EXPECT_EQ(ThreadIndex(), 0);
}

TEST(ParallelForTest, WorksInsideItself) {
  SetNumThreads(3);
  std::atomic<int> calls = 0;
  ParallelFor(3, 1, [&](int64_t, int64_t) {
    const int outer = ThreadIndex();
    ParallelFor(3, 1, [&](int64_t begin, int64_t) {
      EXPECT_EQ(ThreadIndex(), begin);
      ++calls;
    });
    EXPECT_EQ(ThreadIndex(), outer);
  });
  EXPECT_EQ(calls, 9);
}

// Callers meet: one has the team, the others go on alone.
TEST(ParallelForTest, ServesSeveralCallersAtOnce) {
  SetNumThreads(3);
  std::vector<std::thread> callers;
  std::atomic<int64_t> total = 0;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        std::vector<int64_t> sums(3);
        ParallelFor(30, 1, [&](int64_t begin, int64_t end) {
          for (int64_t j = begin; j < end; ++j) sums[ThreadIndex()] += j;
        });
        total += sums[0] + sums[1] + sums[2];
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(total, 4 * 2000 * 435);
}

// While one caller holds the team, a second one is not held up by it.
TEST(ParallelForTest, ASecondCallerRunsOnItsOwnThread) {
  SetNumThreads(2);
  std::atomic<bool> begun = false;
  std::atomic<bool> over = false;
  std::thread first([&] {
    ParallelFor(2, 1, [&](int64_t, int64_t) {
      begun = true;
      while (!over) std::this_thread::yield();
    });
  });
  while (!begun) std::this_thread::yield();
  std::set<std::thread::id> threads;
  ParallelFor(2, 1, [&](int64_t, int64_t) { threads.insert(std::this_thread::get_id()); });
  EXPECT_THAT(threads, testing::ElementsAre(std::this_thread::get_id()));
  over = true;
  first.join();
}

// A child that has only the calling thread does the work with it.
TEST(ParallelForTest, WorksInAChildProcess) {
  SetNumThreads(3);
  ParallelFor(3, 1, [](int64_t, int64_t) {});
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> calls = 0;
    ParallelFor(3, 1, [&](int64_t, int64_t) { ++calls; });
    _exit(calls == 3 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(NumThreadsTest, HoldsForCallsFromEveryThread) {
  SetNumThreads(3);
  int seen = 0;
  std::thread([&] { seen = NumThreads(); }).join();
  EXPECT_EQ(seen, 3);
  {
    const ThreadLimit outer(1);
    const ThreadLimit unchanged(0);
    EXPECT_EQ(NumThreads(), 1);
    std::thread([&] { seen = NumThreads(); }).join();
    EXPECT_EQ(seen, 3);
  }
  EXPECT_EQ(NumThreads(), 3);
  EXPECT_THROW(ThreadLimit(-1), Error);
}

TEST(NumThreadsTest, RefusesImpossibleNumbers) {
  EXPECT_THROW(SetNumThreads(0), Error);
  EXPECT_THROW(SetNumThreads(100'000), Error);
}

}  // namespace
}  // namespace blockformer
