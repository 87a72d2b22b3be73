#ifndef BLOCKFORMER_BENCH_RACE_H_
#define BLOCKFORMER_BENCH_RACE_H_

#include <cstdint>
#include <vector>

#include "base/work_observer.h"
#include "bench/throughput.h"

namespace blockformer {

struct RaceOptions {
  std::vector<int64_t> batches;  // empty: each model's best one is searched
  int64_t prompt = 128;
  int64_t generate = 128;
  int64_t repetitions = 3;
  int64_t sampled_depths = 0;  // 0: runs are carried out in full
  // That a model and its cache may take; 0: in a search, most of what is available.
  int64_t memory_bytes = 0;
};

// The runs of one model at one batch size.
struct RaceResult {
  size_t contestant = 0;  // index
  ThroughputSetting setting;
  std::vector<ThroughputRun> runs = {};
  bool is_full = true;   // or from sampled depths
  bool is_best = false;  // of this model's, by total tokens a second
};

// The median of the runs' rates in tokens a second, prompts in the time.
double TotalRate(const RaceResult& result);

// Measures all contestants at all batch sizes, in turn within each repetition, so that a machine
// whose speed drifts treats all alike. A search goes by sampled depths, and each model's best batch
// is measured in full then, in place of the sampled result. Results are sorted by batch size.
// Throws Error(kExhausted) if a batch takes more memory than it may.
std::vector<RaceResult> RunRace(const std::vector<Contestant>& contestants,
                                const RaceOptions& options, WorkObserver* observer);

// Sets is_best of one result of each contestant: the fastest of those measured in full if there are
// any, else of all.
void MarkBest(size_t num_contestants, std::vector<RaceResult>* results);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_RACE_H_
