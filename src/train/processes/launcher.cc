#include "train/processes/launcher.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/program.h"
#include "base/temporary_folder.h"
#include "train/processes/process_rank.h"

namespace blockformer::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPollInterval = std::chrono::milliseconds(20);
constexpr auto kKillDelay = std::chrono::seconds(10);
// A process that fails may only have lost another; that one's exit code, which tells more, counts
// if it comes this soon.
constexpr auto kCauseDelay = std::chrono::seconds(1);
constexpr auto kNoDelay = std::chrono::seconds(0);
constexpr int kFailedExitCode = 1;

// The first of two equal names counts, so what is inherited stands last.
std::vector<std::string> EnvironmentOf(int rank, int count, const std::string& folder) {
  std::vector<std::string> result = {fmt::format("{}={}/store", kLocalStoreVariable, folder)};
  for (const char* prefix : {"", "LOCAL_"}) {
    result.push_back(fmt::format("{}RANK={}", prefix, rank));
    result.push_back(fmt::format("{}WORLD_SIZE={}", prefix, count));
  }
  for (char** entry = environ; *entry != nullptr; ++entry) result.emplace_back(*entry);
  return result;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

pid_t StartProcess(const std::vector<std::string>& arguments,
                   const std::vector<std::string>& environment) {
  const std::vector<char*> argv = Pointers(arguments);
  const std::vector<char*> envp = Pointers(environment);
  const pid_t parent = getpid();
  const pid_t child = ForkForExec();
  Require(child >= 0, ErrorCode::kExhausted, "--nproc: cannot start a process: {}",
          SystemErrorText(errno));
  if (child > 0) return child;
  // In a group of its own a key press reaches the parent alone, which passes it on once.
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() == parent) execve("/proc/self/exe", argv.data(), envp.data());
  _exit(127);
}

int ExitCodeOf(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool IsStopSignal(int status) {
  const int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return number == SIGTERM || number == SIGINT || number == SIGHUP;
}

class LocalProcesses {
 public:
  LocalProcesses(int count, const std::vector<std::string>& arguments) {
    for (int rank = 0; rank < count; ++rank) {
      processes_.push_back(StartProcess(arguments, EnvironmentOf(rank, count, folder_.path())));
    }
  }

  int Wait() {
    while (std::any_of(processes_.begin(), processes_.end(), IsRunning)) {
      Reap();
      if (StopRequested() || (stop_at_ && Clock::now() >= *stop_at_)) Stop();
      if (stop_at_ && Clock::now() > *stop_at_ + kKillDelay) Kill();
      std::this_thread::sleep_for(kPollInterval);
    }
    return exit_code_;
  }

 private:
  static bool IsRunning(pid_t process) { return process > 0; }

  void Reap() {
    for (size_t rank = 0; rank < processes_.size(); ++rank) {
      int status = 0;
      if (!IsRunning(processes_[rank]) || waitpid(processes_[rank], &status, WNOHANG) <= 0)
        continue;
      processes_[rank] = 0;
      if (status != 0) OnFailure(rank, status);
    }
  }

  void OnFailure(size_t rank, int status) {
    int code = ExitCodeOf(status);
    // It may be told to stop before it has begun to listen to signals.
    if (StopRequested() && IsStopSignal(status)) code = kInterruptedExitCode;
    if (code == kInterruptedExitCode) {
      // Processes stop together when asked to; the one that is still saving must not be hurried.
      if (exit_code_ == 0) exit_code_ = code;
      return;
    }
    if (stop_at_) {
      if (exit_code_ == kFailedExitCode && !stopping_) exit_code_ = code;
      return;
    }
    exit_code_ = code;
    LogMessage(LogLevel::kError,
               WIFSIGNALED(status)
                   ? fmt::format("training process {} was ended by signal {}; ending the others",
                                 rank, WTERMSIG(status))
                   : fmt::format("training process {} failed; ending the others", rank));
    stop_at_ = Clock::now() + (code == kFailedExitCode ? kCauseDelay : kNoDelay);
  }

  // Once is enough: a process that is saving must not be hurried.
  void Stop() {
    if (std::exchange(stopping_, true)) return;
    for (const pid_t process : processes_) {
      if (IsRunning(process)) PassOnStop(process);
    }
  }

  void Kill() const {
    for (const pid_t process : processes_) {
      if (IsRunning(process)) kill(process, SIGKILL);
    }
  }

  const TemporaryFolder folder_;  // where the processes meet
  std::vector<pid_t> processes_;  // 0 for one that has ended
  int exit_code_ = 0;
  bool stopping_ = false;
  std::optional<Clock::time_point> stop_at_;  // when a failure ends the others
};

}  // namespace

int RunLocalProcesses(int count, const std::vector<std::string>& arguments) {
  CatchStopSignals();
  return LocalProcesses(count, arguments).Wait();
}

}  // namespace blockformer::train
