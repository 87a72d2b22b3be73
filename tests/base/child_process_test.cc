#include "base/child_process.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "base/program.h"

namespace blockformer {
namespace {

class ChildProcessTest : public testing::Test {
 protected:
  void TearDown() override {
    std::signal(SIGCHLD, SIG_DFL);
    unlink(log_.c_str());
  }

  int Run(const std::string& command) const { return RunProcess({"sh", "-c", command}, log_); }

  const std::string log_ = testing::TempDir() + "child-process-test-" + std::to_string(getpid());
};

TEST_F(ChildProcessTest, TellsHowAProgramEnded) {
  EXPECT_EQ(Run("exit 3"), 3);
  EXPECT_EQ(Run("kill -KILL $$"), 128 + SIGKILL);
  EXPECT_EQ(RunProcess({"no-such-program"}, log_), ChildProcess::kNotStarted);
}

TEST_F(ChildProcessTest, EndsWhereTheSystemDoesNotTell) {
  std::signal(SIGCHLD, SIG_IGN);
  EXPECT_EQ(Run("exit 3"), ChildProcess::kUnknown);
  // A program of ours has it told.
  EXPECT_EQ(RunProgram("test", [this] { return Run("exit 3"); }), 3);
}

}  // namespace
}  // namespace blockformer
