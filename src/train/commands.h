#ifndef BLOCKFORMER_TRAIN_COMMANDS_H_
#define BLOCKFORMER_TRAIN_COMMANDS_H_

#include <CLI/CLI.hpp>

namespace blockformer::train {

// Each adds one command to blockformer-train; the command's flags live as long as the app, and its
// callback does the work.
void AddGenerateCommand(CLI::App& app);
void AddTrainCommand(CLI::App& app);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_COMMANDS_H_
