#ifndef BLOCKFORMER_CLI_COMMANDS_H_
#define BLOCKFORMER_CLI_COMMANDS_H_

#include <CLI/CLI.hpp>

namespace blockformer {

// Each adds one command to the program; the command's flags live as long as the app, and its
// callback does the work. Implemented in NAME_command.cc.
void AddBenchCommand(CLI::App& app);
void AddConvertCommand(CLI::App& app);
void AddDoctorCommand(CLI::App& app);
void AddEvalCommand(CLI::App& app);
void AddEvalDataCommand(CLI::App& app);
void AddGenerateCommand(CLI::App& app);
void AddInspectCommand(CLI::App& app);
void AddPrepareCommand(CLI::App& app);
void AddScoreCommand(CLI::App& app);
void AddServeCommand(CLI::App& app);
void AddTokenizerCommand(CLI::App& app);
void AddTrainCommand(CLI::App& app);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_COMMANDS_H_
