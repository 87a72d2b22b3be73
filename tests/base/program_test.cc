#include "base/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <thread>

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

TEST(ProgramDeathTest, OptionsThatAMessageNamesAreFlags) {
  const auto expect = [](const std::string& message, const std::string& shown) {
    EXPECT_EXIT(RunAndExit([&]() -> int { throw Error(ErrorCode::kIo, message); }),
                testing::ExitedWithCode(1), "program: " + shown + "\n$");
  };
  expect("`max_tokens`: 0 is out of range; a smaller `batch` helps",
         "--max-tokens: 0 is out of range; a smaller --batch helps");
  expect("`max_sequences`: 0", "--batch: 0");
  expect("a`b_`: `zstd -d` or ``, `A`, `x", "a--b-: `zstd -d` or ``, `A`, `x");
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

// What a program opens would otherwise get the descriptor, and messages would go there.
TEST(ProgramDeathTest, AClosedStandardStreamStaysClosed) {
  const auto open_file = [](int descriptor) {
    close(descriptor);
    RunAndExit([=] {
      const int opened = open("/dev/zero", O_RDONLY);
      char byte = 0;
      const bool is_usable = descriptor == STDIN_FILENO ? read(descriptor, &byte, 1) >= 0
                                                        : write(descriptor, &byte, 1) >= 0;
      return opened > STDERR_FILENO && !is_usable ? 7 : 8;
    });
  };
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    EXPECT_EXIT(open_file(descriptor), testing::ExitedWithCode(7), "") << descriptor;
  }
}

// In a process of its own: catches, sends itself what `send` sends, and says what came of it.
// `hang_up` is what SIGHUP does before.
void CatchAndSend(const std::function<void()>& send, sighandler_t hang_up = SIG_DFL) {
  RunAndExit([&] {
    std::signal(SIGHUP, hang_up);
    CatchStopSignals();
    send();
    return StopRequested() ? 7 : 8;
  });
}

TEST(ProgramDeathTest, TheSecondStopSignalEndsTheProcess) {
  EXPECT_EXIT(CatchAndSend([] {}), testing::ExitedWithCode(8), "");
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    EXPECT_EXIT(CatchAndSend([&] { raise(number); }), testing::ExitedWithCode(7), "");
  }
  EXPECT_EXIT(CatchAndSend([] { raise(SIGINT), raise(SIGTERM); }), testing::KilledBySignal(SIGTERM),
              "");
  EXPECT_EXIT(CatchAndSend([] { raise(SIGHUP), raise(SIGTERM), raise(SIGHUP); }),
              testing::ExitedWithCode(7), "");
}

TEST(ProgramDeathTest, AStopThatIsPassedOnIsNoSecondOne) {
  EXPECT_EXIT(CatchAndSend([] { raise(SIGTERM), PassOnStop(getpid()); }),
              testing::ExitedWithCode(7), "");
  EXPECT_EXIT(CatchAndSend([] { PassOnStop(getpid()), raise(SIGTERM); }),
              testing::ExitedWithCode(7), "");
  EXPECT_EXIT(CatchAndSend([] { PassOnStop(getpid()), raise(SIGTERM), raise(SIGINT); }),
              testing::KilledBySignal(SIGINT), "");
}

TEST(ProgramDeathTest, AHangUpThatIsIgnoredStaysIgnored) {
  EXPECT_EXIT(CatchAndSend([] { raise(SIGHUP); }, SIG_IGN), testing::ExitedWithCode(8), "");
}

// Whether the signal comes before or during the wait, and to whichever thread.
TEST(ProgramDeathTest, AStopSignalEndsTheWaitForInput) {
  const auto wait = [](useconds_t delay) {
    RunAndExit([=] {
      CatchStopSignals();
      int ends[2];
      if (pipe(ends) != 0) return 1;
      std::thread([=] { usleep(delay), raise(SIGINT); }).detach();
      return WaitForInput(ends[0]) ? 8 : 7;
    });
  };
  EXPECT_EXIT(wait(0), testing::ExitedWithCode(7), "");
  EXPECT_EXIT(wait(20'000), testing::ExitedWithCode(7), "");
}

TEST(WaitForInputTest, EndsWithInputAndAtItsEnd) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "a", 1), 1);
  EXPECT_TRUE(WaitForInput(ends[0]));
  char byte = 0;
  ASSERT_EQ(read(ends[0], &byte, 1), 1);
  close(ends[1]);
  EXPECT_TRUE(WaitForInput(ends[0]));
  close(ends[0]);
}

// As a parent that is told twice, and ends with the second.
TEST(ProgramDeathTest, ASignalAfterTheParentsDeathEndsTheProcess) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    if (fork() != 0) {
      char ready = 0;
      _exit(read(pipes[0], &ready, 1) == 1 ? 0 : 1);
    }
    CatchStopSignals();
    const pid_t first = getppid();
    PassOnStop(getpid());
    if (write(pipes[1], "r", 1) != 1) _exit(1);
    while (getppid() == first) usleep(1000);
    close(pipes[0]);
    raise(SIGTERM);
    if (write(pipes[1], "s", 1) != 1) _exit(1);  // it has survived
    _exit(0);
  }
  close(pipes[1]);
  waitpid(parent, nullptr, 0);
  char survived = 0;
  EXPECT_EQ(read(pipes[0], &survived, 1), 0);
  close(pipes[0]);
}

}  // namespace
}  // namespace blockformer
