#ifndef BLOCKFORMER_CLI_EVAL_MODES_H_
#define BLOCKFORMER_CLI_EVAL_MODES_H_

#include <CLI/CLI.hpp>

namespace blockformer {

// The commands within `blockformer eval`, each in its own file, eval_tasks.cc and so on.
void AddEvalTasks(CLI::App* eval);
void AddEvalShowTask(CLI::App* eval);
void AddEvalLoss(CLI::App* eval);
void AddEvalPositions(CLI::App* eval);
void AddEvalNeedle(CLI::App* eval);
void AddEvalCompare(CLI::App* eval);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_MODES_H_
