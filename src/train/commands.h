#ifndef BLOCKFORMER_TRAIN_COMMANDS_H_
#define BLOCKFORMER_TRAIN_COMMANDS_H_

#include <CLI/CLI.hpp>

namespace blockformer::train {

// Adds a command to blockformer-train; the command's flags live as long as the app, and its
// callback does the work.
void AddTrainCommand(CLI::App& app);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_COMMANDS_H_
