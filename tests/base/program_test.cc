#include "base/program.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "base/error.h"

namespace blockformer {
namespace {

// Runs the body as a whole program, in a process of its own.
[[noreturn]] void RunAndExit(const std::function<int()>& body) {
  std::_Exit(RunProgram("program", body));
}

TEST(ProgramDeathTest, ExitCodesFollowFromErrors) {
  const auto expect = [](int code, ErrorCode error) {
    EXPECT_EXIT(RunAndExit([&]() -> int { Fail(error, "what went wrong"); }),
                testing::ExitedWithCode(code), "program: what went wrong");
  };
  expect(2, ErrorCode::kInvalidArgument);
  expect(130, ErrorCode::kInterrupted);
  expect(1, ErrorCode::kIo);
  EXPECT_EXIT(RunAndExit([] { return 7; }), testing::ExitedWithCode(7), "");
}

TEST(ProgramDeathTest, AnErrorIsOneLineWhateverItNames) {
  EXPECT_EXIT(RunAndExit([]() -> int { Fail(ErrorCode::kIo, "a\n\x1b[31mb é"); }),
              testing::ExitedWithCode(1), R"(program: a\\x0a\\x1b\[31mb é)");
}

TEST(ProgramDeathTest, OutputThatCannotBeWrittenIsAFailure) {
  const auto fill = [](const std::function<void()>& print) {
    RunAndExit([&] {
      if (std::freopen("/dev/full", "w", stdout) == nullptr) return 9;
      print();
      return 0;
    });
  };
  const auto failed = testing::ExitedWithCode(1);
  EXPECT_EXIT(fill([] { std::fputs("text", stdout); }), failed, "standard output: cannot write");
  EXPECT_EXIT(fill([] { std::cout << "text"; }), failed, "standard output: cannot write");
}

}  // namespace
}  // namespace blockformer
