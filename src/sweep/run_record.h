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

// How fast a model generated in a round of measurements, prompts included in the time.
struct SpeedMeasurement {
  double tokens_per_second = 0;
  std::string machine;  // processor and threads
};

// What a run has left in its directory.
struct RunRecord {
  int64_t steps_done = 0;
  // The first field of the recipe, "section.key", in which what the checkpoint has learnt differs
  // from what the sweep asks for; empty if none does.
  std::string changed_field;
  bool finished = false;         // all its steps, and nothing has changed
  std::string failure;           // how its last training failed; empty if it did not
  std::vector<LossPoint> curve;  // validations, by rising step
  std::optional<double> bits_per_byte;
  std::vector<double> loss_by_position;  // of the last validation; NaN where nothing was predicted
  // One a round; none for a round that is missing or was measured with other settings.
  std::vector<std::optional<SpeedMeasurement>> speeds;
};

// Reads a run's directory; what is not there is left out. Throws Error(kCorrupt) for files that are
// none of a trainer's or of `blockformer bench`.
RunRecord ReadRunRecord(const Sweep& sweep, const SweepRun& run);

// Where it is kept how a run's last training failed.
std::string FailurePath(const Sweep& sweep, const SweepRun& run);

// The step that a run under way has reached, from the end of its metrics; 0 if there is none.
int64_t ReadLastStep(const std::string& run_directory);

// Where the result of a round, from 0, is kept.
std::string ThroughputPath(const Sweep& sweep, const SweepRun& run, size_t round);

}  // namespace blockformer

#endif  // BLOCKFORMER_SWEEP_RUN_RECORD_H_
