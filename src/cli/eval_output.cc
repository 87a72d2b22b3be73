#include "cli/eval_output.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/gnuplot.h"
#include "cli/flags.h"

namespace blockformer {

void EvalOutput::Check() const {
  const auto check_path = [this](const char* flag, const std::string& path) {
    RequireWritable(flag, path);
    Require(force || !FileExists(path), ErrorCode::kInvalidArgument,
            "{}: {} is there already; --force replaces it", flag, path);
  };
  if (IsFile()) check_path("--json", json);
  if (plot.empty()) return;
  check_path("--plot", plot);
  PlotTerminal("--plot", plot, 1, 1);  // refuses other endings
  RequireGnuplot("--plot");
}

void EvalOutput::Write(const OrderedJson& report, const std::string& table,
                       const PlotScript& plot_script) const {
  // The table first: it is what is left if a file cannot be written.
  const bool is_json_printed = !json.empty() && !IsFile();
  fmt::print(is_json_printed ? stderr : stdout, "{}", table);
  std::fflush(stdout);
  const std::string text = ToText(report, 1) + "\n";
  if (is_json_printed) fmt::print("{}", text);
  if (IsFile()) WriteFileAtomically(json, text);
  if (!plot.empty()) {
    DrawPlot(plot, plot_script(report, std::filesystem::path(plot).filename().string()));
  }
}

}  // namespace blockformer
