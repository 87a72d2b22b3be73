#ifndef BLOCKFORMER_BENCH_PLOT_H_
#define BLOCKFORMER_BENCH_PLOT_H_

#include <string>

#include "bench/report.h"

namespace blockformer {

// A gnuplot script that draws a report into the SVG `output`: total tokens a second
// against batch size and, at each model's best batch, decoded ones against context; each with its
// limit as a dashed line.
std::string BenchPlotScript(const ThroughputReport& report, const std::string& output);

// Draws it into `path`, as DrawPlot() does.
void WriteBenchPlot(const ThroughputReport& report, const std::string& path);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_PLOT_H_
