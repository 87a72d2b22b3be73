#include "base/parallel.h"

#include <omp.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr int kMaxThreads = 1024;
constexpr char kSpinCount[] = "10000";  // iterations; about 20 microseconds

}  // namespace

int NumThreads() { return omp_get_max_threads(); }

void SetNumThreads(int threads) {
  Require(threads >= 1 && threads <= kMaxThreads, ErrorCode::kInvalidArgument,
          "threads: {} is out of range; 1 to {} are possible", threads, kMaxThreads);
  omp_set_num_threads(threads);
}

void LimitSpinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error || setenv("GOMP_SPINCOUNT", kSpinCount, 1) != 0) return;
  execv(self.c_str(), argv);  // returns only if it fails; then the default has to do
}

int ThreadIndex() { return omp_get_thread_num(); }

}  // namespace blockformer
