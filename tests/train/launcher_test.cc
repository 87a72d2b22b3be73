// The launcher of --nproc, with this test program in the place of the trainer.
#include "train/processes/launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <thread>

namespace blockformer::train {
namespace {

constexpr char kPlan[] = "LAUNCHER_TEST_PLAN";
constexpr int kInterrupted = 130;

// Not a test but a process that a test below starts: it ends as its entry of the plan says,
// "CODE:MILLISECONDS", or with 130 as soon as it is told to stop.
TEST(LauncherProcess, DISABLED_EndsAsPlanned) {
  if (std::getenv(kPlan) == nullptr) GTEST_SKIP() << "is started by the tests of the launcher";
  std::signal(SIGTERM, [](int) { _exit(kInterrupted); });
  std::istringstream plan(std::getenv(kPlan));
  std::string entry;
  for (int rank = std::atoi(std::getenv("RANK")); rank >= 0; --rank) plan >> entry;
  const size_t colon = entry.find(':');
  std::this_thread::sleep_for(std::chrono::milliseconds(std::stoi(entry.substr(colon + 1))));
  _exit(std::stoi(entry.substr(0, colon)));
}

int RunPlan(const char* plan, int count) {
  setenv(kPlan, plan, /*replace=*/1);
  const int code =
      RunLocalProcesses(count, {"train_test", "--gtest_also_run_disabled_tests", "--gtest_brief=1",
                                "--gtest_filter=LauncherProcess.DISABLED_EndsAsPlanned"});
  unsetenv(kPlan);
  return code;
}

TEST(Launcher, SuccessOfAllIsSuccess) { EXPECT_EQ(RunPlan("0:0 0:50", 2), 0); }

TEST(Launcher, AnInterruptionIsReported) { EXPECT_EQ(RunPlan("130:0 0:300", 2), kInterrupted); }

TEST(Launcher, AFailureWinsOverAnInterruption) {
  EXPECT_EQ(RunPlan("130:0 3:300", 2), 3);  // that came before it
  EXPECT_EQ(RunPlan("3:0 0:60000", 2), 3);  // that it causes
}

TEST(Launcher, TheCauseOfAFailureWinsOverItsConsequence) {
  EXPECT_EQ(RunPlan("1:0 7:200 0:60000", 3), 7);
}

}  // namespace
}  // namespace blockformer::train
