#include "base/program.h"

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

// One line on standard error. If that cannot be written either, the exit code is all there is.
void Report(std::string_view name, std::string_view message) {
  std::fputs(fmt::format("{}: {}\n", name, message).c_str(), stderr);
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

void CatchStopSignals() {
  std::signal(SIGINT, OnStopSignal);
  std::signal(SIGTERM, OnStopSignal);
}

bool StopRequested() { return stop_requested; }

}  // namespace blockformer
