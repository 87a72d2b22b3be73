#include "base/program.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "base/printable.h"

namespace blockformer {
namespace {

constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGHUP};

// Tells a signal of PassOnStop() from others.
constexpr int kPassedOn = 0x626c6f63;

std::atomic<bool> stop_requested{false};
std::atomic<bool> stop_passed_on{false};
std::atomic<bool> stopped_directly{false};
std::atomic<pid_t> first_parent{0};
std::atomic<const char*> stop_notice{nullptr};

// Of those that a signal handler may call.
void WriteStopNotice() {
  const char* notice = stop_notice;
  if (notice == nullptr) return;
  const int error_number = errno;
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, notice, std::strlen(notice));
  errno = error_number;
}

extern "C" void OnStopSignal(int signal_number, siginfo_t* info, void* /*context*/) {
  if (!stop_requested.exchange(true)) WriteStopNotice();
  if (signal_number == SIGHUP) return;  // comes twice when a terminal closes
  if (info->si_code == SI_QUEUE && info->si_value.sival_int == kPassedOn) {
    stop_passed_on = true;
    return;
  }
  // A parent that has died since was told a second time, and its death is signalled here.
  const bool orphaned = stop_passed_on && getppid() != first_parent;
  if (!stopped_directly.exchange(true) && !orphaned) return;
  std::signal(signal_number, SIG_DFL);
  raise(signal_number);  // comes when this handler returns
}

int ExitCodeOf(ErrorCode code) {
  if (code == ErrorCode::kInvalidArgument) return 2;
  if (code == ErrorCode::kInterrupted) return kInterruptedExitCode;
  return 1;
}

// What is still buffered can only now fail to be written, to a full disk for instance.
void FlushOutput() {
  const bool streams_good = std::cout.flush().good();
  const bool files_good = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  Require(streams_good && files_good, ErrorCode::kIo, "standard output: cannot write");
}

std::string FlagOf(std::string_view option) {
  // Those that have another name in the library.
  if (option == "max_sequences") return "--batch";
  if (option == "memory_bytes") return "--memory";
  std::string flag(option);
  std::ranges::replace(flag, '_', '-');
  return "--" + flag;
}

// "`max_tokens`: 0 is ..." -> "--max-tokens: 0 is ...": a program's options are flags.
std::string WithFlags(std::string_view message) {
  constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyz_";
  std::string result;
  while (!message.empty()) {
    const size_t open = std::min(message.find('`'), message.size());
    result += message.substr(0, open);
    message.remove_prefix(open);
    if (message.empty()) break;
    const size_t end = message.find_first_not_of(kNameCharacters, 1);
    const bool is_option = end != std::string_view::npos && end > 1 && message[end] == '`';
    if (!is_option) {
      result += '`';
      message.remove_prefix(1);
      continue;
    }
    result += FlagOf(message.substr(1, end - 1));
    message.remove_prefix(end + 1);
  }
  return result;
}

// One line on standard error, whatever a hostile file has for a name. If that cannot be written
// either, the exit code is all there is.
void Report(std::string_view name, std::string_view message) {
  PrintMessage("{}: {}\n", name, Printable(message));
}

// A file that is opened while one of the three standard descriptors is closed would get its number,
// and messages would be written into it. What takes the place of a closed one here cannot be used
// either: to read where output is wanted, to write where input is.
void HoldStandardDescriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) != -1) continue;
    open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // takes the lowest number
  }
}

}  // namespace

int RunProgram(std::string_view name, const std::function<int()>& body) {
  HoldStandardDescriptors();
  // Whoever started this program may have had it ignored; then nothing would tell how a child
  // ended.
  std::signal(SIGCHLD, SIG_DFL);
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    const int exit_code = body();
    FlushOutput();
    return exit_code;
  } catch (const Error& error) {
    Report(name, WithFlags(error.what()));
    return ExitCodeOf(error.code());
  } catch (const std::bad_alloc&) {
    Report(name, "out of memory");
  } catch (const std::exception& error) {
    Report(name, fmt::format("internal error: {}", error.what()));
  }
  return 1;
}

void RequireCommand(std::string_view program, const std::string& argument,
                    const std::vector<std::string>& commands) {
  const bool known = std::find(commands.begin(), commands.end(), argument) != commands.end();
  Require(known, ErrorCode::kInvalidArgument, "\"{}\" is not a command of {}; {} are", argument,
          program, fmt::join(commands, ", "));
}

bool IsIgnored(int signal_number) {
  struct sigaction action = {};
  sigaction(signal_number, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

// The handler gets a stack of its own: while the processor is in generated code of oneDNN, the
// stack pointer may not point to a stack, and a signal frame there would overwrite the heap. The
// kernel hands a process's signals to its main thread, which is the one that calls this.
void CatchStopSignals(const char* notice) {
  stop_notice = notice;
  static char stack[1 << 16];
  stack_t alternative = {};
  alternative.ss_sp = stack;
  alternative.ss_size = sizeof(stack);
  sigaltstack(&alternative, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = OnStopSignal;
  action.sa_flags = SA_ONSTACK | SA_RESTART | SA_SIGINFO;
  first_parent = getppid();
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  if (!IsIgnored(SIGHUP)) sigaction(SIGHUP, &action, nullptr);
}

pid_t ForkForExec() {
  sigset_t stops;
  sigset_t before;
  sigemptyset(&stops);
  for (const int number : kStopSignals) sigaddset(&stops, number);
  sigprocmask(SIG_BLOCK, &stops, &before);
  const pid_t child = fork();
  const int error_number = errno;
  for (const int number : kStopSignals) {
    if (child == 0 && !IsIgnored(number)) std::signal(number, SIG_DFL);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  errno = error_number;
  return child;
}

bool StopRequested() { return stop_requested; }

// A signal that comes between the look at the flag and the wait does not end the wait, nor does one
// that another thread is interrupted by; so none is long.
bool WaitForInput(int descriptor) {
  constexpr int kWaitMilliseconds = 100;
  pollfd input = {descriptor, POLLIN, 0};
  while (!StopRequested()) {
    if (poll(&input, 1, kWaitMilliseconds) > 0) return true;
  }
  return false;
}

void PassOnStop(pid_t child) {
  sigval value = {};
  value.sival_int = kPassedOn;
  if (sigqueue(child, SIGTERM, value) != 0) kill(child, SIGTERM);  // the queue is full
}

}  // namespace blockformer
