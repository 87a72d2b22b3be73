#include "base/parallel.h"

#include <omp.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/cpu.h"
#include "base/error.h"

namespace blockformer {
namespace {

constexpr char kSpinCount[] = "10000";  // iterations; about 20 microseconds

std::atomic<int>& ProcessThreads() {
  static std::atomic<int> threads = std::min(AvailableProcessors(), kMaxThreads);
  return threads;
}

thread_local int thread_limit = 0;  // 0: none

void CheckThreads(int threads) {
  Require(threads >= 1 && threads <= kMaxThreads, ErrorCode::kInvalidArgument,
          "`threads`: {} is out of range; 1 to {} are possible, or 0 for one a processor", threads,
          kMaxThreads);
}

}  // namespace

int NumThreads() { return thread_limit > 0 ? thread_limit : ProcessThreads().load(); }

void SetNumThreads(int threads) {
  CheckThreads(threads);
  ProcessThreads() = threads;
}

ThreadLimit::ThreadLimit(int threads) : before_(thread_limit) {
  if (threads == 0) return;
  CheckThreads(threads);
  thread_limit = threads;
}

ThreadLimit::~ThreadLimit() { thread_limit = before_; }

SerialLibraries::SerialLibraries() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }

SerialLibraries::~SerialLibraries() { omp_set_num_threads(before_); }

void LimitSpinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error || setenv("GOMP_SPINCOUNT", kSpinCount, 1) != 0) return;
  execv(self.c_str(), argv);  // returns only if it fails; then the default has to do
}

int ThreadIndex() { return TeamPart(); }

}  // namespace blockformer
