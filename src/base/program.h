#ifndef BLOCKFORMER_BASE_PROGRAM_H_
#define BLOCKFORMER_BASE_PROGRAM_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace blockformer {

// Runs a program's body and turns every exception into one line on standard error and an exit code:
// 2 for a wrong argument, 130 for an interruption, 1 for any other failure. Output that cannot be
// written is a failure too.
int RunProgram(std::string_view name, const std::function<int()>& body);

// Throws Error(kInvalidArgument) that names the program, the argument and the commands if
// `argument` is none of them. For programs whose library for the command line would not look at it
// when it finds --help.
void RequireCommand(std::string_view program, const std::string& argument,
                    const std::vector<std::string>& commands);

// From now on SIGINT and SIGTERM only set a flag, and a second one of them ends the process.
void CatchStopSignals();
bool StopRequested();

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_PROGRAM_H_
