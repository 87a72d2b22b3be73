#include "bench/batch_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "devices/devices.h"
#include "tests/cpu/tiny_model_directory.h"

namespace blockformer {
namespace {

// Searches with rates that rise up to `peak` and fall behind it.
int64_t BestOf(int64_t largest, double peak, std::set<int64_t>* tried = nullptr) {
  return FindBestBatch(largest, [&](int64_t batch) {
    EXPECT_GE(batch, 1);
    EXPECT_LE(batch, largest);
    EXPECT_TRUE(tried == nullptr || tried->insert(batch).second) << batch << " is tried twice";
    const double size = static_cast<double>(batch);
    return size <= peak ? size : peak * peak / size;
  });
}

TEST(BatchSearchTest, FindsThePeakOrItsNeighbour) {
  EXPECT_EQ(BestOf(1000, 64), 64);
  EXPECT_EQ(BestOf(1000, 100), 96);  // 3/2 of 64
  EXPECT_EQ(BestOf(1000, 1), 1);
}

TEST(BatchSearchTest, GoesUpToWhatFits) {
  EXPECT_EQ(BestOf(100, 1e6), 100);
  EXPECT_EQ(BestOf(1, 1e6), 1);
  EXPECT_EQ(BestOf(3, 1e6), 3);
}

TEST(BatchSearchTest, StopsSoonAfterThePeakAndTriesNothingTwice) {
  std::set<int64_t> tried;
  BestOf(1 << 14, 8, &tried);
  EXPECT_EQ(*tried.rbegin(), 32);
  tried.clear();
  BestOf(1 << 14, 2, &tried);  // 3/4 of the best batch is one that was tried
  EXPECT_EQ(tried, (std::set<int64_t>{1, 2, 3, 4, 8}));
}

TEST(BatchSearchTest, OneSlowMomentDoesNotEndIt) {
  EXPECT_EQ(FindBestBatch(64, [](int64_t batch) { return batch == 8 ? 1.0 : double(batch); }), 64);
}

TEST(BatchSearchTest, TheLargestBatchFillsTheMemory) {
  const ModelConfig config = TinyTextConfig();
  const Contestant contestant = {"tiny", RandomModel(config, 1), NumberType::kF16};
  const ThroughputSetting setting = {1, 32, 32};
  const double weights = WeightBytes(config, NumberType::kF32);
  const double sequence = KvBytesPerSequence(config, NumberType::kF16, 64) +
                          4.0 * static_cast<double>(config.vocab_size);
  const auto largest = [&](double sequences) {
    return LargestBatch(contestant, setting,
                        static_cast<int64_t>(std::ceil(weights + sequences * sequence)));
  };
  EXPECT_EQ(largest(1), 1);
  EXPECT_EQ(largest(7.5), 7);
  EXPECT_EQ(largest(1e6), kMaxBatch);
  try {
    largest(0.5);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kExhausted);
    EXPECT_THAT(error.what(), testing::HasSubstr("`memory`"));
    EXPECT_THAT(error.what(), testing::HasSubstr("tiny"));
  }
}

}  // namespace
}  // namespace blockformer
