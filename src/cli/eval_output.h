#ifndef BLOCKFORMER_CLI_EVAL_OUTPUT_H_
#define BLOCKFORMER_CLI_EVAL_OUTPUT_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/output_path.h"
#include "config/json.h"

namespace blockformer {

// All that `blockformer eval` may read: model directories, files of text, token files by their
// prefix.
std::vector<std::string> EvalInputs(const std::vector<std::string>& models,
                                    const std::vector<std::string>& data);

// Where the results of `blockformer eval` go, beside the table on standard output.
struct EvalOutput {
  std::string json;    // a path; if it is standard output, the table goes to standard error
  std::string plot;    // a path that ends in .svg or .png
  bool force = false;  // replace files that are there

  // The flags --json and --force, and --plot for results of which there is a picture.
  void AddTo(CLI::App* command, bool has_plot);

  // Whether scores can be kept beside `json` while there is no report yet.
  bool IsResumable() const { return !json.empty() && !IsStream(json); }

  // To be called before anything is computed. Throws Error(kInvalidArgument) that names the flag as
  // CheckOutputs() does, or if a picture is of no kind that can be drawn; Error(kNotFound) without
  // gnuplot.
  void Check(const std::vector<std::string>& inputs) const;

  // Throws Error (kIo, kExhausted). `plot_script` makes gnuplot's script for a file name; null if
  // there is no picture of the report.
  using PlotScript = std::function<std::string(const std::string& name)>;
  void Write(const OrderedJson& report, const std::string& table,
             const PlotScript& plot_script = nullptr) const;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_OUTPUT_H_
