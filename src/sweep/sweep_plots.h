#ifndef BLOCKFORMER_SWEEP_SWEEP_PLOTS_H_
#define BLOCKFORMER_SWEEP_SWEEP_PLOTS_H_

#include <string>
#include <vector>

#include "sweep/sweep_report.h"

namespace blockformer {

// A plot: NAME.gp, the gnuplot script with its data, makes NAME.svg and NAME.png beside itself.
struct SweepPlot {
  const char* name;
  const char* title;
};

const std::vector<SweepPlot>& SweepPlots();

// The script of one of SweepPlots(); empty if there is nothing to show yet.
std::string PlotScript(const SweepPlot& plot, const Sweep& sweep, const SweepReport& report);

// Writes the scripts and runs gnuplot on them. Without gnuplot the scripts are written, a warning
// says how to get it, and false is returned.
bool WritePlots(const Sweep& sweep, const SweepReport& report);

}  // namespace blockformer

#endif  // BLOCKFORMER_SWEEP_SWEEP_PLOTS_H_
