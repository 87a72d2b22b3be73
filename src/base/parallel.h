#ifndef BLOCKFORMER_BASE_PARALLEL_H_
#define BLOCKFORMER_BASE_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <vector>

#include "base/thread_team.h"

namespace blockformer {

// Threads that ParallelFor uses when the calling thread calls it: those of the innermost
// ThreadLimit, or else of the process.
int NumThreads();

// Sets the threads of the process, at the start AvailableProcessors() of base/cpu.h. Holds for
// calls from every thread. Throws Error(kInvalidArgument) unless 1 <= threads <= kMaxThreads.
void SetNumThreads(int threads);

// While one lives, what its thread calls uses `threads` threads; 0 changes nothing. Throws as
// SetNumThreads does.
class ThreadLimit {
 public:
  explicit ThreadLimit(int threads);
  ~ThreadLimit();
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;

 private:
  int before_;
};

// While one lives, libraries that use OpenMP run on the calling thread alone when it calls them.
// Their own threads would compete with ParallelFor's.
class SerialLibraries {
 public:
  SerialLibraries();
  ~SerialLibraries();
  SerialLibraries(const SerialLibraries&) = delete;
  SerialLibraries& operator=(const SerialLibraries&) = delete;

 private:
  int before_;
};

// Call first in main() of a program whose libraries use OpenMP's threads: idle ones spin briefly,
// some tens of microseconds, before they sleep. GNU's default spins for milliseconds, which slows a
// machine that has other work many times over. The runtime reads this only when it is loaded, so
// the program starts itself once more with it in the environment. GOMP_SPINCOUNT or
// OMP_WAIT_POLICY, where set, are left as they are.
void LimitSpinning(char** argv);

// The index of the range that the calling thread works on in the innermost ParallelFor, in
// [0, NumThreads()). No other thread has the same one at the same time.
int ThreadIndex();

// Splits [0, count) into one range a thread and calls body(begin, end) for each, on the threads
// that base/thread_team.h describes. Ranges are at least `grain` long, so small work stays on the
// calling thread. The split depends only on count, grain and NumThreads(), whichever threads run
// the ranges. The first exception that a body throws is thrown again here.
template <typename Body>
void ParallelFor(int64_t count, int64_t grain, Body&& body) {
  if (count <= 0) return;
  const int64_t ranges = std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, NumThreads());
  std::mutex mutex;
  std::exception_ptr failure;
  auto run = [&](int64_t range) {
    try {
      body(count * range / ranges, count * (range + 1) / ranges);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  RunOnTeam(
      static_cast<int>(ranges),
      [](void* context, int part) { (*static_cast<decltype(run)*>(context))(part); }, &run);
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
  std::vector<Part> queue(parts);
  for (int64_t i = 0; i < parts; ++i) {
    queue[i].next = count * i / parts;
    queue[i].end = count * (i + 1) / parts;
  }
  ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t own = begin; own < end; ++own) {
      for (int64_t i = 0; i < parts; ++i) {
        Part& part = queue[(own + i) % parts];
        for (int64_t item = part.next++; item < part.end; item = part.next++) body(item);
      }
    }
  });
}

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_PARALLEL_H_
