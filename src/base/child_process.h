#ifndef BLOCKFORMER_BASE_CHILD_PROCESS_H_
#define BLOCKFORMER_BASE_CHILD_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace blockformer {

// A program that runs beside this one. It reads nothing, its output is appended to a file, and it
// has a process group of its own, so that Ctrl-C reaches it only through Stop(). It is asked to
// stop when this process dies. Not thread-safe.
class ChildProcess {
 public:
  static constexpr int kNotStarted = 127;  // exit code of a program that is not there, as of shells
  static constexpr int kUnknown = 255;     // where the system does not tell it, see RunProgram()

  // `arguments[0]` is the program, looked up in PATH unless it has a slash. `directory` is where it
  // starts; empty: here. Throws Error(kIo) if the log cannot be opened or no process be made; a
  // program that is not there ends with exit code kNotStarted.
  ChildProcess(const std::vector<std::string>& arguments, const std::string& log_path,
               const std::string& directory = "");
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  // Waits at most `milliseconds`; returns whether it has ended.
  bool WaitFor(int milliseconds);
  // Asks it to stop (SIGTERM), once.
  void Stop();
  pid_t pid() const { return pid_; }
  // After it has ended: its exit code, or 128 and the number of the signal that killed it.
  int exit_code() const { return exit_code_; }

 private:
  bool Poll();

  pid_t pid_ = -1;
  bool ended_ = false;
  bool stopping_ = false;
  int exit_code_ = 0;
};

// Runs a program to its end; returns its exit code. Ends it when this program is asked to stop.
int RunProcess(const std::vector<std::string>& arguments, const std::string& log_path,
               const std::string& directory = "");

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_CHILD_PROCESS_H_
