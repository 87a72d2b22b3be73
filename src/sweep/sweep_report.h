#ifndef BLOCKFORMER_SWEEP_SWEEP_REPORT_H_
#define BLOCKFORMER_SWEEP_SWEEP_REPORT_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/json.h"
#include "sweep/run_record.h"
#include "sweep/sweep_config.h"

namespace blockformer {

enum class RunStatus { kNotStarted, kNotFinished, kFailed, kOfAnotherRecipe, kFinished };

// "finished", "of another recipe", "failed", "not finished" or "not started".
const char* RunStatusName(RunStatus status);

// A run's line in the report. Losses are of the validation file, in nats a token.
struct ReportRow {
  std::string name;
  std::string changes;  // from the base: "block_length 8, ..."
  RunStatus status = RunStatus::kNotStarted;
  int64_t parameters = 0;
  int64_t non_embedding = 0;
  double flops = 0;  // of training, done so far
  int64_t tokens = 0;
  std::optional<double> loss;
  std::optional<double> bits_per_byte;
  // At the training FLOPs of the run that has had the fewest, between two validations where need
  // be; none if that is before the first validation.
  std::optional<double> loss_at_equal_flops;
  std::vector<double> loss_by_position;
  std::optional<double> tokens_per_second;  // median of the rounds measured so far
  double speed_spread = 0;                  // by what share the fastest exceeds the slowest
  // No other run has both a lower loss and a higher speed.
  bool on_frontier = false;
};

struct SweepReport {
  std::vector<ReportRow> rows;     // as Sweep::runs
  std::vector<RunRecord> records;  // the same
  double equal_flops = 0;          // what ReportRow::loss_at_equal_flops is at
  std::set<std::string> machines;  // that measured the speeds
};

SweepReport MakeReport(const Sweep& sweep);

std::string ReportAsMarkdown(const Sweep& sweep, const SweepReport& report);
std::string ReportAsCsv(const SweepReport& report);
OrderedJson ReportAsJson(const Sweep& sweep, const SweepReport& report);

// Writes report.md, report.csv, report.json into the sweep's directory, and the plots as far as
// gnuplot is there.
void WriteReport(const Sweep& sweep);

}  // namespace blockformer

#endif  // BLOCKFORMER_SWEEP_SWEEP_REPORT_H_
