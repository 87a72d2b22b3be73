#ifndef BLOCKFORMER_BENCH_REPORT_H_
#define BLOCKFORMER_BENCH_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "bench/race.h"
#include "config/json.h"

namespace blockformer {

// How fast a model decodes behind so many tokens, and could at most.
struct ContextSpeed {
  double context = 0;
  double decode_tokens_per_s = 0;
  double limit_tokens_per_s = 0;
};

// The runs of one model at one batch size; rates are those of the median run.
struct ThroughputResult {
  std::string model;
  std::string kind;
  NumberTypes types;
  ThroughputSetting setting;
  bool is_best = false;  // as in RaceResult
  bool is_full = true;
  double prefill_tokens_per_s = 0;
  std::optional<double> decode_tokens_per_s;  // behind the prefill; none if that makes all tokens
  double total_tokens_per_s = 0;
  double ttft_ms = 0;
  double utilisation = 0;  // of the machine's peak
  // What the decoding rate means for the model and the machine.
  std::optional<double> unit_ms;
  std::optional<double> bandwidth_share;
  double limit_tokens_per_s = 0;
  std::optional<double> share_of_limit;
  double total_limit_tokens_per_s = 0;
  double bytes_per_sequence = 0;
  std::optional<double> measured_bytes_per_sequence;
  // The total rate relative to the first model's at the same batch size, measured alike; without
  // one, a best result's relative to the first model's best. None if there is neither.
  std::optional<double> ratio;
  size_t repetitions = 0;
  double spread = 0;
  std::vector<ContextSpeed> by_context;
};

// The results are set between the machine's figures of before and after the runs.
struct ThroughputReport {
  CpuInfo cpu;
  int threads = 0;
  MachineSpeed before;
  MachineSpeed after;
  std::vector<ThroughputResult> results;
};

ThroughputReport MakeThroughputReport(const std::vector<Contestant>& contestants,
                                      const std::vector<RaceResult>& results,
                                      const MachineSpeed& before, const MachineSpeed& after);

// What docs/benchmarks.md describes: "machine", "build", "results", one flat object a model and
// batch size, and "by_context", the decoding rates and limits at each depth.
OrderedJson ThroughputJson(const ThroughputReport& report);

// For people.
std::string ThroughputTable(const ThroughputReport& report);

// The same results as lines of comma-separated values under the names of the JSON's fields.
std::string ThroughputCsv(const ThroughputReport& report);

// A sentence for each sign that the machine was busy with other things: repetitions or its own
// figures that differ by more than 15 %.
std::vector<std::string> NoiseWarnings(const ThroughputReport& report);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_REPORT_H_
