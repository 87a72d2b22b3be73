// `blockformer eval`: commands that judge models. The work lies in eval/.
#include "cli/commands.h"
#include "cli/eval_modes.h"

namespace blockformer {

void AddEvalCommand(CLI::App& app) {
  CLI::App* eval = app.add_subcommand("eval", "Evaluates models, and compares their results.");
  eval->require_subcommand(1);
  AddEvalTasks(eval);
  AddEvalLoss(eval);
  AddEvalPositions(eval);
  AddEvalNeedle(eval);
  AddEvalCompare(eval);
  AddEvalShowTask(eval);
}

}  // namespace blockformer
