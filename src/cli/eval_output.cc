#include "cli/eval_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "base/file.h"
#include "base/gnuplot.h"

namespace blockformer {

void EvalOutput::Check(const std::vector<std::string>& inputs) const {
  std::vector<OutputFlag> outputs = {{"--json", json}};
  if (!plot.empty()) {
    PlotTerminal("--plot", plot, 1, 1);  // refuses other endings
    std::ranges::move(PlotOutputs("--plot", plot), std::back_inserter(outputs));
  }
  CheckOutputs(outputs, inputs, force);
  if (!plot.empty()) RequireGnuplot("--plot");
}

void EvalOutput::Write(const OrderedJson& report, const std::string& table,
                       const PlotScript& plot_script) const {
  // The table first: it is what is left if a file cannot be written.
  const bool is_json_printed = IsStandardOutput(json);
  fmt::print(is_json_printed ? stderr : stdout, "{}", table);
  std::fflush(stdout);
  const std::string text = ToText(report, 1) + "\n";
  if (!json.empty()) WriteFileAtomically(json, text);
  if (!plot.empty()) {
    DrawPlot(plot, plot_script(report, std::filesystem::path(plot).filename().string()));
  }
}

}  // namespace blockformer
