#include "base/program.h"

#include <atomic>
#include <csignal>
#include <exception>

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

}  // namespace

int RunProgram(std::string_view name, const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    fmt::print(stderr, "{}: {}\n", name, error.what());
    return ExitCodeOf(error.code());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "{}: out of memory\n", name);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: internal error: {}\n", name, error.what());
  }
  return 1;
}

void CatchStopSignals() {
  std::signal(SIGINT, OnStopSignal);
  std::signal(SIGTERM, OnStopSignal);
}

bool StopRequested() { return stop_requested; }

}  // namespace blockformer
