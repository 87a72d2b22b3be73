#include "base/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace blockformer {
namespace {

// What a bar with a long note draws on a terminal of this width, without the line's end; empty
// where the system has no terminals to give.
std::string DrawnOn(unsigned short columns) {
  int terminal = -1;
  int program = -1;
  winsize size = {};
  size.ws_col = columns;
  if (openpty(&terminal, &program, nullptr, nullptr, &size) != 0) return "";
  std::fflush(stderr);
  const int before = dup(STDERR_FILENO);
  dup2(program, STDERR_FILENO);
  {
    ProgressBar bar("training", 100, "steps");
    bar.StartAt(50);
    bar.Update(50, "a note of thirty characters...");
  }
  dup2(before, STDERR_FILENO);
  close(before);
  char bytes[1024];
  const ssize_t count = read(terminal, bytes, sizeof(bytes));
  close(program);
  close(terminal);
  std::string text(bytes, count > 0 ? count : 0);
  constexpr std::string_view kClearLine = "\r\033[K";
  EXPECT_THAT(text, testing::StartsWith(std::string(kClearLine)));
  text.erase(0, kClearLine.size());
  return text.substr(0, text.find('\r'));
}

TEST(ProgressBarTest, ALineIsNoLongerThanTheTerminalIsWide) {
  const std::string whole = DrawnOn(200);
  if (whole.empty()) GTEST_SKIP() << "no pseudo-terminal can be opened";
  EXPECT_THAT(whole, testing::StartsWith("training [============            ]  50 % 50 steps"));
  EXPECT_THAT(whole, testing::EndsWith("  a note of thirty characters..."));
  const auto width = static_cast<unsigned short>(whole.size());
  EXPECT_EQ(DrawnOn(width + 1).size(), whole.size());
  const std::string narrower = DrawnOn(width - 9);
  EXPECT_EQ(narrower.size(), whole.size() - 10) << narrower;
  EXPECT_THAT(narrower, testing::StartsWith("training [=======       ]  50 % 50 steps"));
  EXPECT_THAT(narrower, testing::EndsWith("thirty characters..."));
  EXPECT_EQ(DrawnOn(20), "training []  50 % 5");
  EXPECT_EQ(DrawnOn(2), "t");
}

}  // namespace
}  // namespace blockformer
