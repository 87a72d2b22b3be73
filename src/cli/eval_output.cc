#include "cli/eval_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "base/file.h"
#include "base/gnuplot.h"
#include "base/log.h"
#include "config/token_file_prefix.h"
#include "data/token_file_info.h"

namespace blockformer {

std::vector<std::string> EvalInputs(const std::vector<std::string>& models,
                                    const std::vector<std::string>& data) {
  std::vector<std::string> inputs = models;
  for (const std::string& path : data) {
    inputs.push_back(path);
    std::ranges::move(TokenFilePaths(TokenFilePrefix(path)), std::back_inserter(inputs));
  }
  return inputs;
}

void EvalOutput::AddTo(CLI::App* command, bool has_plot) {
  command->add_option("--json", json, "Where results go; - is standard output")->type_name("FILE");
  if (has_plot) {
    command->add_option("--plot", plot, "A picture of the results, .svg or .png")
        ->type_name("FILE");
  }
  command->add_flag("--force", force, "Replace files that are there");
}

void EvalOutput::Check(const std::vector<std::string>& inputs) const {
  std::vector<OutputFlag> outputs = {{"--json", json}};
  if (!plot.empty()) {
    PlotTerminal("--plot", plot, 1, 1);  // refuses other endings
    std::ranges::move(PlotOutputs("--plot", plot), std::back_inserter(outputs));
  }
  CheckOutputs(outputs, inputs, force);
  if (!plot.empty()) RequireGnuplot("--plot");
}

void EvalOutput::PrintTable(const std::string& table) const {
  if (IsStandardOutput(json)) return WriteMessage(table);
  fmt::print("{}", table);
  std::fflush(stdout);
}

void EvalOutput::Write(const OrderedJson& report, const std::string& table,
                       const PlotScript& plot_script) const {
  // The table first: it is what is left if a file cannot be written.
  PrintTable(table);
  const std::string text = ToText(report, 1) + "\n";
  if (!json.empty()) WriteFileAtomically(json, text);
  if (!plot.empty()) {
    DrawPlot(plot, plot_script(std::filesystem::path(plot).filename().string()));
  }
}

}  // namespace blockformer
