#include "server/access_log.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace blockformer {
namespace {

constexpr std::chrono::milliseconds kPollInterval{100};
constexpr std::chrono::seconds kTimeToEnd{1};
// A pipe that poll() calls writable takes so many bytes without waiting.
constexpr size_t kPieceBytes = PIPE_BUF;

int OpenForLines(const std::string& path) {
  if (path == "-") return STDOUT_FILENO;
  const int file = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  Require(file >= 0, ErrorCode::kIo, "{}: {}", path, SystemErrorText(errno));
  return file;
}

// A pipe without a reader is then an error of write() rather than the end of the process.
void BlockPipeSignal() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

}  // namespace

AccessLog::AccessLog(const std::string& path)
    : name_(path == "-" ? "standard output" : path),
      file_(OpenForLines(path)),
      thread_([this] { Run(); }) {}

AccessLog::~AccessLog() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    end_ = std::chrono::steady_clock::now() + kTimeToEnd;
  }
  changed_.notify_one();
  thread_.join();
  if (file_ != STDOUT_FILENO) close(file_);
}

void AccessLog::Write(std::string_view line) {
  bool is_lost = false;
  {
    const std::lock_guard lock(mutex_);
    is_lost = waiting_.size() + line.size() + 1 > kMaxWaitingBytes;
    if (!is_lost) waiting_.append(line).append("\n");
  }
  if (is_lost) {
    WarnOnce("it is not read");
  } else {
    changed_.notify_one();
  }
}

void AccessLog::Run() {
  BlockPipeSignal();
  for (std::string text = TakeWaiting(); !text.empty(); text = TakeWaiting()) WriteText(text);
}

std::string AccessLog::TakeWaiting() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
  return std::exchange(waiting_, {});
}

void AccessLog::WriteText(std::string_view text) {
  while (!text.empty() && AwaitWritable()) {
    const ssize_t size = write(file_, text.data(), std::min(text.size(), kPieceBytes));
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (size < 0) return WarnOnce(SystemErrorText(errno));
    text.remove_prefix(static_cast<size_t>(size));
  }
}

bool AccessLog::AwaitWritable() {
  pollfd descriptor = {file_, POLLOUT, 0};
  while (poll(&descriptor, 1, static_cast<int>(kPollInterval.count())) <= 0) {
    const std::lock_guard lock(mutex_);
    if (ending_ && std::chrono::steady_clock::now() > end_) return false;
  }
  return true;
}

void AccessLog::WarnOnce(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(warned_, true)) return;
  }
  LogWarning("{}: {}; the access log misses lines", name_, reason);
}

}  // namespace blockformer
