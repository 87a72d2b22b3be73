#ifndef BLOCKFORMER_BASE_PROGRAM_H_
#define BLOCKFORMER_BASE_PROGRAM_H_

#include <functional>
#include <string_view>

namespace blockformer {

// Runs a program's body and turns every exception into one line on standard error and an exit code:
// 2 for a wrong argument, 130 for an interruption, 1 for any other failure. Output that cannot be
// written is a failure too.
int RunProgram(std::string_view name, const std::function<int()>& body);

// From now on SIGINT and SIGTERM only set a flag, and a second one of them ends the process.
void CatchStopSignals();
bool StopRequested();

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_PROGRAM_H_
