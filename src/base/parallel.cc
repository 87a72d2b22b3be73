#include "base/parallel.h"

#include <omp.h>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr int kMaxThreads = 1024;

}  // namespace

int NumThreads() { return omp_get_max_threads(); }

void SetNumThreads(int threads) {
  Require(threads >= 1 && threads <= kMaxThreads, ErrorCode::kInvalidArgument,
          "threads: {} is out of range; 1 to {} are possible", threads, kMaxThreads);
  omp_set_num_threads(threads);
}

int ThreadIndex() { return omp_get_thread_num(); }

}  // namespace blockformer
