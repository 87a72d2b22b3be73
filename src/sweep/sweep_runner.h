#ifndef BLOCKFORMER_SWEEP_SWEEP_RUNNER_H_
#define BLOCKFORMER_SWEEP_SWEEP_RUNNER_H_

#include <string>
#include <vector>

#include "sweep/sweep_config.h"

namespace blockformer {

// The programs that a sweep starts.
struct SweepPrograms {
  std::string trainer;  // blockformer-train
  std::string engine;   // blockformer
  int processes = 1;    // of each training (--nproc)
};

// Trains the runs one after another and measures how fast the trained models generate. A run that
// is finished is not repeated, one that was interrupted continues, and one that fails is reported
// and left out. Returns the names of the runs that failed. Throws Error(kInterrupted) when asked to
// stop; the same sweep continues then.
std::vector<std::string> RunSweep(const Sweep& sweep, const SweepPrograms& programs);

}  // namespace blockformer

#endif  // BLOCKFORMER_SWEEP_SWEEP_RUNNER_H_
