#ifndef BLOCKFORMER_BENCH_PLOT_H_
#define BLOCKFORMER_BENCH_PLOT_H_

#include <string>

#include "config/json.h"

namespace blockformer {

// Throws Error(kNotFound) if gnuplot cannot be started. Asked before anything is measured.
void RequireGnuplot();

// A gnuplot script that draws MakeReport()'s result into the SVG `output`: total tokens a second
// against batch size and, at each model's best batch, decoded ones against context; each with its
// limit as a dashed line.
std::string BenchPlotScript(const OrderedJson& report, const std::string& output);

// Writes `path` and, beside it, the script that draws it ("PATH.gp"). Throws Error if gnuplot
// fails.
void WriteBenchPlot(const OrderedJson& report, const std::string& path);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_PLOT_H_
