#ifndef BLOCKFORMER_BASE_PARALLEL_H_
#define BLOCKFORMER_BASE_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <vector>

namespace blockformer {

// The OpenMP runtime is the one that oneDNN, OpenBLAS and libtorch use, so that all share one pool.

// Threads that ParallelFor and the libraries use; at the start, the processors available.
int NumThreads();

// Throws Error(kInvalidArgument) unless 1 <= threads <= 1024.
void SetNumThreads(int threads);

// Call first in main(): idle OpenMP threads spin briefly, some tens of microseconds, before they
// sleep. GNU's default spins for milliseconds, which slows a machine that has other work many times
// over. The runtime reads this only when it is loaded, so the program starts itself once more with
// it in the environment. GOMP_SPINCOUNT or OMP_WAIT_POLICY, where set, are left as they are.
void LimitSpinning(char** argv);

// The index of the calling thread in the innermost ParallelFor, in [0, NumThreads()).
int ThreadIndex();

// Splits [0, count) into one range a thread and calls body(begin, end) for each. Ranges are at
// least `grain` long, so small work stays on the calling thread. The split depends only on count,
// grain and NumThreads(). The first exception that a body throws is thrown again here.
template <typename Body>
void ParallelFor(int64_t count, int64_t grain, Body&& body) {
  if (count <= 0) return;
  const int64_t ranges = std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, NumThreads());
  if (ranges == 1) {
    body(int64_t{0}, count);
    return;
  }
  std::exception_ptr failure;
#pragma omp parallel for num_threads(static_cast<int>(ranges)) schedule(static, 1)
  for (int64_t i = 0; i < ranges; ++i) {
    try {
      body(count * i / ranges, count * (i + 1) / ranges);
    } catch (...) {
#pragma omp critical(blockformer_parallel_for)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

// Calls body(item) once for each item of [0, count). Each thread first takes the items of its own
// equal part in ascending order, and then helps the others with theirs, so that none waits long for
// a thread that was slowed down. Small work, `grain` items or fewer, stays on the calling thread.
// Exceptions as above.
template <typename Body>
void ParallelForEach(int64_t count, int64_t grain, Body&& body) {
  struct alignas(64) Part {  // a cache line of its own
    std::atomic<int64_t> next;
    int64_t end;
  };
  const int64_t parts =
      std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, std::max(NumThreads(), 1));
  std::vector<Part> queue(static_cast<size_t>(parts));
  for (int64_t i = 0; i < parts; ++i) {
    queue[static_cast<size_t>(i)].next = count * i / parts;
    queue[static_cast<size_t>(i)].end = count * (i + 1) / parts;
  }
  ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t own = begin; own < end; ++own) {
      for (int64_t i = 0; i < parts; ++i) {
        Part& part = queue[static_cast<size_t>((own + i) % parts)];
        for (int64_t item = part.next++; item < part.end; item = part.next++) body(item);
      }
    }
  });
}

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_PARALLEL_H_
