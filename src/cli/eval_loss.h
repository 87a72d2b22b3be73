#ifndef BLOCKFORMER_CLI_EVAL_LOSS_H_
#define BLOCKFORMER_CLI_EVAL_LOSS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/eval_flags.h"

namespace blockformer {

// Prints the loss that the trainer's validation would measure on a token file, for each model, and
// writes it to `json` unless that is empty. `limit` counts samples.
void EvaluateLoss(const std::vector<std::string>& models, const std::string& data,
                  std::optional<int64_t> limit, const EvalFlags& eval, const std::string& json);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_LOSS_H_
