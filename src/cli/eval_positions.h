#ifndef BLOCKFORMER_CLI_EVAL_POSITIONS_H_
#define BLOCKFORMER_CLI_EVAL_POSITIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/eval_flags.h"

namespace blockformer {

// Of `blockformer eval --loss-by-position`.
struct PositionFlags {
  int64_t context = 0;  // 0: the smallest trained one of the models
  int64_t bins = 32;
};

// Measures one model after the other on the texts of `data`, at most `limit` windows of each, and
// prints a table to standard output. Writes the report to `json_path` and a plot to `plot_path`
// unless they are empty; with "-" for the JSON, that goes to standard output and the table to
// standard error. `eval` has been applied. All that can be known to be wrong is said before
// anything is computed. Throws Error.
void EvaluateLossByPosition(const std::vector<std::string>& models,
                            const std::vector<std::string>& data, const PositionFlags& flags,
                            const EvalFlags& eval, std::optional<int64_t> limit,
                            const std::string& json_path, const std::string& plot_path);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_POSITIONS_H_
