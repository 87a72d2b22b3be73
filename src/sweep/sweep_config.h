#ifndef BLOCKFORMER_SWEEP_SWEEP_CONFIG_H_
#define BLOCKFORMER_SWEEP_SWEEP_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "config/train_recipe.h"

namespace blockformer {

// One training of a sweep.
struct SweepRun {
  std::string name;  // of its files; letters, digits and "._-" only
  TrainRecipe recipe;
};

// Runs that a plot shows together: those of an axis, or those of the grid and of the list.
struct SweepGroup {
  std::string title;  // the name of an axis, or what the runs are
  bool is_axis = false;
  std::vector<size_t> runs;         // indices into Sweep::runs
  std::vector<std::string> labels;  // one a run: what distinguishes it in this group
};

// How fast the trained models generate is measured with `blockformer bench throughput` in rounds,
// in each of which every model has its turn, so that a machine whose speed drifts treats all alike.
struct SweepThroughput {
  int64_t prompt = 128;  // tokens
  int64_t generate = 128;
  int64_t batch = 32;       // sequences; 0: speed is not measured
  int64_t repetitions = 3;  // rounds

  size_t Rounds() const { return batch > 0 ? static_cast<size_t>(repetitions) : 0; }
};

struct Sweep {
  std::string output;  // directory of everything that the sweep writes
  SweepThroughput throughput;
  std::vector<SweepRun> runs;
  std::vector<SweepGroup> groups;

  std::string RunDirectory(const SweepRun& run) const { return output + "/runs/" + run.name; }
};

// Reads a sweep (docs/training.md has its fields) and expands it into runs, each of whose recipes
// is read and checked. `overrides` are of the base recipe, and "output=DIR" of the sweep. Throws
// Error(kInvalidArgument) that names the field or the run.
Sweep ReadSweep(const std::string& path, const std::vector<std::string>& overrides);

}  // namespace blockformer

#endif  // BLOCKFORMER_SWEEP_SWEEP_CONFIG_H_
