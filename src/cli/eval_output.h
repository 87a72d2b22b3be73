#ifndef BLOCKFORMER_CLI_EVAL_OUTPUT_H_
#define BLOCKFORMER_CLI_EVAL_OUTPUT_H_

#include <CLI/CLI.hpp>
#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "base/output_path.h"
#include "base/work_observer.h"
#include "cli/terminal_observer.h"
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

  // The results of `count` models, each as `measure(i, observer)` has it; `table` makes a text of
  // some of them. Where one fails, shows those before it, which no file is written of, and throws
  // on.
  template <typename Measure, typename Table>
  auto MeasureEach(size_t count, const Measure& measure, const Table& table) const;

  // Throws Error (kIo, kExhausted). `plot_script` makes gnuplot's script for a file name; null if
  // there is no picture of the report.
  using PlotScript = std::function<std::string(const std::string& name)>;
  void Write(const OrderedJson& report, const std::string& table,
             const PlotScript& plot_script = nullptr) const;

 private:
  // On standard output, or on standard error if that is where `json` goes.
  void PrintTable(const std::string& table) const;
};

template <typename Measure, typename Table>
auto EvalOutput::MeasureEach(size_t count, const Measure& measure, const Table& table) const {
  std::vector<std::invoke_result_t<Measure, size_t, WorkObserver*>> results;
  try {
    TerminalObserver observer;
    for (size_t i = 0; i < count; ++i) results.push_back(measure(i, &observer));
  } catch (const std::exception&) {
    if (!results.empty()) PrintTable(table(results));
    throw;
  }
  return results;
}

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_OUTPUT_H_
