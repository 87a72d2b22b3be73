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

TEST(NumThreadsTest, RefusesImpossibleNumbers) {
  EXPECT_THROW(SetNumThreads(0), Error);
  EXPECT_THROW(SetNumThreads(100'000), Error);
}

}  // namespace
}  // namespace blockformer
