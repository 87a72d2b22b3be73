#ifndef BLOCKFORMER_CLI_EVAL_LOSS_H_
#define BLOCKFORMER_CLI_EVAL_LOSS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/eval_flags.h"
#include "cli/eval_output.h"

namespace blockformer {

// `blockformer eval --loss`: the loss that the trainer's validation would measure on a token file,
// for each model. `limit` counts samples. `eval` has been applied, `output` checked.
void EvaluateLoss(const std::vector<std::string>& models, const std::string& data,
                  std::optional<int64_t> limit, const EvalFlags& eval, const EvalOutput& output);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_LOSS_H_
