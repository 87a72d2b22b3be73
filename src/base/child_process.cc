#include "base/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/program.h"

namespace blockformer {
namespace {

constexpr int kPollMilliseconds = 20;

// In the child, between fork and exec: nothing here may allocate.
[[noreturn]] void Become(char* const* argv, int log, const char* directory, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(ChildProcess::kNotStarted);
  setpgid(0, 0);
  const int nothing = open("/dev/null", O_RDONLY);
  if (dup2(nothing, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
      dup2(log, STDERR_FILENO) < 0 || (directory[0] != '\0' && chdir(directory) != 0)) {
    _exit(ChildProcess::kNotStarted);
  }
  execvp(argv[0], argv);
  _exit(ChildProcess::kNotStarted);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::string& log_path,
                           const std::string& directory) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  Require(log >= 0, ErrorCode::kIo, "{}: cannot write: {}", log_path, SystemErrorText(errno));
  const pid_t parent = getpid();
  pid_ = ForkForExec();
  if (pid_ == 0) Become(argv.data(), log, directory.c_str(), parent);
  const int error = errno;
  close(log);
  Require(pid_ > 0, ErrorCode::kIo, "{}: cannot start a process: {}", arguments[0],
          SystemErrorText(error));
}

ChildProcess::~ChildProcess() {
  if (ended_) return;
  Stop();
  while (!WaitFor(1000)) {
  }
}

bool ChildProcess::Poll() {
  int status = 0;
  if (ended_) return true;
  const pid_t waited = waitpid(pid_, &status, WNOHANG);
  if (waited == pid_) {
    ended_ = true;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  } else if (waited < 0 && errno != EINTR) {  // somebody else has waited for it
    ended_ = true;
    exit_code_ = kUnknown;
  }
  return ended_;
}

bool ChildProcess::WaitFor(int milliseconds) {
  for (int waited = 0; !Poll() && waited < milliseconds; waited += kPollMilliseconds) {
    usleep(kPollMilliseconds * 1000);
  }
  return ended_;
}

void ChildProcess::Stop() {
  if (!ended_ && !stopping_) PassOnStop(pid_);
  stopping_ = true;
}

int RunProcess(const std::vector<std::string>& arguments, const std::string& log_path,
               const std::string& directory) {
  ChildProcess process(arguments, log_path, directory);
  while (!process.WaitFor(1000)) {
    if (StopRequested()) process.Stop();
  }
  return process.exit_code();
}

}  // namespace blockformer
