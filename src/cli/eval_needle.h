#ifndef BLOCKFORMER_CLI_EVAL_NEEDLE_H_
#define BLOCKFORMER_CLI_EVAL_NEEDLE_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/eval_flags.h"
#include "cli/eval_output.h"
#include "eval/needle_prompt.h"

namespace blockformer {

struct NeedleFlags {
  bool is_wanted = false;
  std::string form = "question";
  NeedleOptions options;  // of which `form` is set by EvaluateNeedle()

  void AddTo(CLI::App* command);
};

// `blockformer eval --needle`: hides needles in the text of the files `data` and asks each model,
// one after the other, for them. Without lengths in the flags they are powers of two from 256 to
// the smallest context of the models. `eval` has been applied; its dtype counts. `output` has been
// checked. Throws Error that names the flag or file; flags, files and the models' tokenizers are
// checked before anything is computed.
void EvaluateNeedle(const std::vector<std::string>& models, const std::vector<std::string>& data,
                    const NeedleFlags& flags, const EvalFlags& eval, const EvalOutput& output);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_NEEDLE_H_
