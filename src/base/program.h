#ifndef BLOCKFORMER_BASE_PROGRAM_H_
#define BLOCKFORMER_BASE_PROGRAM_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace blockformer {

inline constexpr int kInterruptedExitCode = 130;  // as shells have it of SIGINT

// Runs a program's body and turns every exception into one line on standard error, in which options
// are spelled as flags (see Error), and an exit code:
// 2 for a wrong argument, kInterruptedExitCode for an interruption, 1 for any other failure. Output
// that cannot be written is a failure too, beyond a limit of files' sizes as well. A SIGCHLD that
// is ignored no longer is, and no file that is opened later takes the place of a standard stream
// that is closed.
int RunProgram(std::string_view name, const std::function<int()>& body);

// Throws Error(kInvalidArgument) that names the program, the argument and the commands if
// `argument` is none of them. For programs whose library for the command line would not look at it
// when it finds --help.
void RequireCommand(std::string_view program, const std::string& argument,
                    const std::vector<std::string>& commands);

// From now on SIGINT, SIGTERM and SIGHUP only set a flag, and a second SIGINT or SIGTERM ends the
// process. One that PassOnStop() sent does not count: whoever signals a whole process tree at once
// (systemd, Slurm) reaches a child directly and through its parent. A SIGHUP that is ignored, as
// nohup has it, stays ignored. The first one writes `notice`, which lasts as long as the process,
// to standard error at once; null: nothing.
void CatchStopSignals(const char* notice = nullptr);
bool StopRequested();
// Whether whoever started this program had the signal ignored, as nohup has SIGHUP.
bool IsIgnored(int signal_number);

// Waits until something can be read from a descriptor, or it has ended. Returns false after a stop
// signal that is caught, whichever thread and moment it came to.
bool WaitForInput(int descriptor);

// fork() for a child that becomes another program: a stop signal that reaches it before that ends
// it, rather than be lost with this program's handlers.
pid_t ForkForExec();

// Asks a process that this one has started to stop (SIGTERM), on behalf of whoever asked this one.
void PassOnStop(pid_t child);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_PROGRAM_H_
