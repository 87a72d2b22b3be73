#include "base/program.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>

#include "base/error.h"

namespace blockformer {
namespace {

std::atomic<bool> stop_requested{false};

extern "C" void OnStopSignal(int signal_number) {
  stop_requested = true;
  std::signal(signal_number, SIG_DFL);
}

int ExitCodeOf(ErrorCode code) {
  if (code == ErrorCode::kInvalidArgument) return 2;
  if (code == ErrorCode::kInterrupted) return 130;
  return 1;
}

// What is still buffered can only now fail to be written, to a full disk for instance.
void FlushOutput() {
  const bool streams_good = std::cout.flush().good();
  const bool files_good = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  Require(streams_good && files_good, ErrorCode::kIo, "standard output: cannot write");
}

// A name in a hostile file may hold line ends and what moves a terminal's cursor.
std::string WithoutControlCharacters(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_control = byte < 0x20 || byte == 0x7f;
    result += is_control ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return result;
}

// One line on standard error. If that cannot be written either, the exit code is all there is.
void Report(std::string_view name, std::string_view message) {
  std::fputs(fmt::format("{}: {}\n", name, WithoutControlCharacters(message)).c_str(), stderr);
}

}  // namespace

int RunProgram(std::string_view name, const std::function<int()>& body) {
  try {
    const int exit_code = body();
    FlushOutput();
    return exit_code;
  } catch (const Error& error) {
    Report(name, error.what());
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

// The handler gets a stack of its own: while the processor is in generated code of oneDNN, the
// stack pointer may not point to a stack, and a signal frame there would overwrite the heap. The
// kernel hands a process's signals to its main thread, which is the one that calls this.
void CatchStopSignals() {
  static char stack[1 << 16];
  stack_t alternative = {};
  alternative.ss_sp = stack;
  alternative.ss_size = sizeof(stack);
  sigaltstack(&alternative, nullptr);
  struct sigaction action = {};
  action.sa_handler = OnStopSignal;
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool StopRequested() { return stop_requested; }

}  // namespace blockformer
