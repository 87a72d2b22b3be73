#include "base/cpu.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"

namespace blockformer {
namespace {

// Files as a kernel shows them, below a directory of the test's own.
class AvailableMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/cpu-test-" + std::to_string(getpid());
    Write("/proc/meminfo", "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    4000 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    WriteFileAtomically(root_ + path, text);
  }

  int64_t Available() const { return AvailableMemoryBytes(root_); }

  std::string root_;
};

TEST_F(AvailableMemoryTest, IsWhatTheSystemHasAvailable) {
  EXPECT_EQ(Available(), 4000 * 1024);
  EXPECT_GT(AvailableMemoryBytes(), 0);
  EXPECT_LE(AvailableMemoryBytes(), static_cast<int64_t>(GetCpuInfo().memory_bytes));
}

TEST_F(AvailableMemoryTest, KeepsToTheSmallestLimitOfItsGroupAndTheGroupsAbove) {
  Write("/proc/self/cgroup", "0::/user/job\n");
  Write("/sys/fs/cgroup/user/job/memory.max", "max\n");
  Write("/sys/fs/cgroup/user/job/memory.current", "5000\n");
  EXPECT_EQ(Available(), 4000 * 1024);
  Write("/sys/fs/cgroup/user/memory.max", "90000\n");
  Write("/sys/fs/cgroup/user/memory.current", "50000\n");
  EXPECT_EQ(Available(), 40000);
  Write("/sys/fs/cgroup/user/job/memory.max", "20000\n");
  Write("/sys/fs/cgroup/user/job/memory.stat", "anon 1\ninactive_file 700\n");
  EXPECT_EQ(Available(), 15700);
  Write("/sys/fs/cgroup/user/job/memory.max", "4000\n");
  EXPECT_EQ(Available(), 0);
}

TEST_F(AvailableMemoryTest, KnowsTheFirstVersionOfControlGroups) {
  Write("/proc/self/cgroup", "4:memory:/only/the/host/sees/this\n3:cpu:/\n0::/\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "10000\n");
  Write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "3000\n");
  Write("/sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
  EXPECT_EQ(Available(), 7500);
}

// Quotas of processors' time; the test's own affinity mask may allow as few as one.
class ProcessorLimitTest : public AvailableMemoryTest {
 protected:
  ProcessorLimit Limit() const { return GetProcessorLimit(root_); }
};

TEST_F(ProcessorLimitTest, IsTheAffinityMaskWithoutAQuota) {
  Write("/proc/self/cgroup", "0::/user/job\n");
  Write("/sys/fs/cgroup/user/job/cpu.max", "max 100000\n");
  EXPECT_FALSE(Limit().quota);
  EXPECT_GE(Limit().affinity, 1);
  EXPECT_EQ(Limit().processors(), Limit().affinity);
  EXPECT_LE(AvailableProcessors(), GetProcessorLimit().affinity);
}

TEST_F(ProcessorLimitTest, IsTheSmallestQuotaOfItsGroupAndTheGroupsAbove) {
  Write("/proc/self/cgroup", "0::/user/job\n");
  Write("/sys/fs/cgroup/user/job/cpu.max", "250000 100000\n");
  EXPECT_EQ(Limit().quota, 2.5);
  Write("/sys/fs/cgroup/cpu.max", "150000 100000\n");  // a container's own group
  EXPECT_EQ(Limit().quota, 1.5);
  EXPECT_EQ(Limit().quota_file, root_ + "/sys/fs/cgroup/cpu.max");
  Write("/sys/fs/cgroup/user/cpu.max", "1000 100000\n");
  EXPECT_EQ(Limit().quota, 0.01);
  EXPECT_EQ(Limit().processors(), 1);
}

TEST_F(ProcessorLimitTest, KnowsTheFirstVersionOfControlGroups) {
  Write("/proc/self/cgroup", "9:cpuset:/other\n4:cpu,cpuacct:/only/the/host/sees/this\n");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_FALSE(Limit().quota);
  Write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "90000\n");
  EXPECT_EQ(Limit().quota, 0.9);
  Write("/sys/fs/cgroup/cpu/only/cpu.cfs_quota_us", "20000\n");
  Write("/sys/fs/cgroup/cpu/only/cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(Limit().quota, 0.4);
}

TEST(ProcessorLimit, RoundsUp) {
  EXPECT_EQ((ProcessorLimit{8, 2.5, ""}).processors(), 3);
  EXPECT_EQ((ProcessorLimit{8, 3.0, ""}).processors(), 3);
  EXPECT_EQ((ProcessorLimit{2, 2.5, ""}).processors(), 2);
  EXPECT_EQ((ProcessorLimit{8, 1e9, ""}).processors(), 8);
}

}  // namespace
}  // namespace blockformer
