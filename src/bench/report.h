#ifndef BLOCKFORMER_BENCH_REPORT_H_
#define BLOCKFORMER_BENCH_REPORT_H_

#include <string>
#include <vector>

#include "bench/race.h"
#include "config/json.h"

namespace blockformer {

// What docs/benchmarks.md describes: "machine", "build", "results", one flat object a model and
// batch size, and "by_context", the decoding rates and limits at each depth. The machine's figures
// are those of before and after the runs, between which the results are set.
OrderedJson MakeReport(const std::vector<Contestant>& contestants,
                       const std::vector<RaceResult>& results, const MachineSpeed& before,
                       const MachineSpeed& after);

// Of MakeReport()'s result, for people.
std::string ReportTable(const OrderedJson& report);

// The same results as lines of comma-separated values under the names of their fields.
std::string ReportCsv(const OrderedJson& report);

// A sentence for each sign that the machine was busy with other things: repetitions or its own
// figures that differ by more than 15 %.
std::vector<std::string> NoiseWarnings(const OrderedJson& report);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_REPORT_H_
