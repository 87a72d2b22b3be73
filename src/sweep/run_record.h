#ifndef BLOCKFORMER_SWEEP_RUN_RECORD_H_
#define BLOCKFORMER_SWEEP_RUN_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sweep/sweep_config.h"

namespace blockformer {

// A validation.
struct LossPoint {
  int64_t step = 0;
  double loss = 0;  // nats a token
};

// What a run has left in its directory.
struct RunRecord {
  int64_t steps_done = 0;
  bool finished = false;         // all its steps, with the recipe of the sweep
  std::vector<LossPoint> curve;  // validations, by rising step
  std::optional<double> bits_per_byte;
  std::vector<double> loss_by_position;  // of the last validation; NaN where nothing was predicted
  std::optional<double> tokens_per_second;  // measured generation, prompts included in the time
};

// Reads a run's directory; what is not there is left out. Throws Error(kCorrupt) for files that are
// none of a trainer's or of `blockformer bench`.
RunRecord ReadRunRecord(const Sweep& sweep, const SweepRun& run);

// The step that a run under way has reached, from the end of its metrics; 0 if there is none.
int64_t ReadLastStep(const std::string& run_directory);

std::string ThroughputPath(const Sweep& sweep, const SweepRun& run);

}  // namespace blockformer

#endif  // BLOCKFORMER_SWEEP_RUN_RECORD_H_
