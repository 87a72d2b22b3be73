#ifndef BLOCKFORMER_CLI_EVAL_POSITIONS_H_
#define BLOCKFORMER_CLI_EVAL_POSITIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/eval_flags.h"
#include "cli/eval_output.h"

namespace blockformer {

struct PositionFlags {
  bool is_wanted = false;
  int64_t context = 0;  // 0: the smallest trained one of the models
  int64_t bins = 32;

  void AddTo(CLI::App* command);
};

// `blockformer eval --loss-by-position`: measures one model after the other on the texts of `data`,
// at most `limit` windows of each. `eval` has been applied, `output` checked. All that can be known
// to be wrong is said before anything is computed. Throws Error.
void EvaluateLossByPosition(const std::vector<std::string>& models,
                            const std::vector<std::string>& data, const PositionFlags& flags,
                            const EvalFlags& eval, std::optional<int64_t> limit,
                            const EvalOutput& output);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_POSITIONS_H_
