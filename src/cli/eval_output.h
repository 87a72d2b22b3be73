#ifndef BLOCKFORMER_CLI_EVAL_OUTPUT_H_
#define BLOCKFORMER_CLI_EVAL_OUTPUT_H_

#include <functional>
#include <string>
#include <vector>

#include "config/json.h"

namespace blockformer {

// Where the results of `blockformer eval` go, beside the table on standard output.
struct EvalOutput {
  std::string json;    // a path; "-" for standard output, the table then goes to standard error
  std::string plot;    // a path that ends in .svg or .png
  bool force = false;  // replace files that are there

  bool IsFile() const { return !json.empty() && json != "-"; }

  // To be called before anything is computed. Throws Error(kInvalidArgument) that names the flag if
  // a file is there already, cannot be written or is no kind of picture, Error(kNotFound) without
  // gnuplot.
  void Check() const;

  // Throws Error(kIo). `plot_script` makes gnuplot's script for a file name; null if there is no
  // picture of the report.
  using PlotScript = std::function<std::string(const OrderedJson& report, const std::string& name)>;
  void Write(const OrderedJson& report, const std::string& table,
             const PlotScript& plot_script = nullptr) const;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_OUTPUT_H_
