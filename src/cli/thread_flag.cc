#include "cli/thread_flag.h"

#include "base/cpu.h"
#include "base/log.h"
#include "base/parallel.h"

namespace blockformer {

void UseThreads(int threads) {
  if (threads == 0) return;
  SetNumThreads(threads);
  if (threads <= AvailableProcessors()) return;
  LogWarning("--threads {}: only {} processors are available, so threads will wait for each other",
             threads, AvailableProcessors());
}

}  // namespace blockformer
