#include "base/file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <utility>

#include "base/error.h"
#include "base/program.h"
#include "base/system_error.h"

namespace blockformer {
namespace {

constexpr size_t kWriteBufferBytes = size_t{1} << 20;
constexpr size_t kMaxNameBytes = 220;  // leaves the ending of a temporary file 35 of 255 bytes
constexpr int kMaxTemporaryFiles = 1000;
constexpr int kPollMicroseconds = 20'000;

// A descriptor that closes itself. Opening a pipe does not wait for somebody to write into it: one
// without a writer is read as empty.
class Descriptor {
 public:
  Descriptor(const std::string& path, int flags)
      : value_(open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK)) {
    if (value_ < 0) FailSystem("open", path);
    fcntl(value_, F_SETFL, flags);  // reading does wait
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(value_); }
  int get() const { return value_; }

 private:
  int value_;
};

struct stat StatusOf(const Descriptor& file, const std::string& path) {
  struct stat status;
  if (fstat(file.get(), &status) != 0) FailSystem("stat", path);
  Require(!S_ISDIR(status.st_mode), ErrorCode::kInvalidArgument,
          "{}: is a directory; a file is wanted here", path);
  return status;
}

// While it lives, this thread's writing into a pipe that nobody reads any more is an error (EPIPE)
// and does not end the process.
class BrokenPipeAsError {
 public:
  BrokenPipeAsError() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &old_);
  }
  BrokenPipeAsError(const BrokenPipeAsError&) = delete;
  BrokenPipeAsError& operator=(const BrokenPipeAsError&) = delete;
  ~BrokenPipeAsError() {
    const int error_number = errno;
    const timespec now = {};
    while (sigtimedwait(&pipe_, nullptr, &now) > 0) {  // what has come meanwhile
    }
    pthread_sigmask(SIG_SETMASK, &old_, nullptr);
    errno = error_number;
  }

 private:
  sigset_t pipe_;
  sigset_t old_;
};

std::string ParentOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

bool FileExists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

bool FileBeginsWith(const std::string& path, std::string_view bytes) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  std::string beginning(bytes.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  return file.read(beginning.data(), std::ssize(beginning)) && beginning == bytes;
}

bool IsDirectory(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

std::string ReadFile(const std::string& path, uint64_t max_bytes) {
  const Descriptor file(path, O_RDONLY);
  const auto expected = static_cast<uint64_t>(StatusOf(file, path).st_size);
  std::string contents;
  contents.reserve(std::min(expected, max_bytes));
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = read(file.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) FailSystem("read", path);
    if (count == 0) return contents;
    contents.append(buffer, count);
    Require(contents.size() <= max_bytes, ErrorCode::kExhausted,
            "{}: is larger than the {} bytes that are read at most", path, max_bytes);
  }
}

void MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    Fail(CodeOfSystemError(error.value()), "{}: cannot create the directory: {}", path,
         error.message());
  }
}

void WriteFileAtomically(const std::string& path, std::string_view contents) {
  AtomicFile file(path);
  file.Write(contents);
  file.Commit();
}

void SyncDirectory(const std::string& path) {
  const Descriptor directory(path, O_RDONLY | O_DIRECTORY);
  if (fsync(directory.get()) != 0) FailSystem("sync", path);
}

void RenameDurably(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) FailSystem("rename to " + to, from);
  SyncDirectory(ParentOf(to));
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const Descriptor file(path, O_RDONLY);
  const struct stat status = StatusOf(file, path);
  Require(S_ISREG(status.st_mode), ErrorCode::kInvalidArgument,
          "{}: is a pipe or a device; a file on disk is wanted here", path);
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;  // mmap refuses an empty range
  void* address = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) FailSystem("map", path);
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), target_(ResolveOutput(path_)) {
  if (target_.kind == OutputKind::kStream) {
    OpenStream();
  } else {
    CreateTemporary();
  }
  buffer_.reserve(kWriteBufferBytes);
}

void AtomicFile::OpenStream() {
  if (target_.descriptor == STDOUT_FILENO) {  // what was printed before comes first
    std::cout.flush();
    std::fflush(stdout);
  }
  if (target_.descriptor >= 0) {
    descriptor_ = fcntl(target_.descriptor, F_DUPFD_CLOEXEC, 0);
  } else {
    // Without O_NONBLOCK, a pipe that nobody reads yet could not be given up.
    constexpr int kFlags = O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    while ((descriptor_ = open(target_.path.c_str(), kFlags)) < 0 && target_.is_pipe &&
           errno == ENXIO) {
      Require(!StopRequested(), ErrorCode::kInterrupted, "{}: interrupted; nobody reads the pipe",
              path_);
      usleep(kPollMicroseconds);
    }
    if (descriptor_ >= 0) fcntl(descriptor_, F_SETFL, O_WRONLY);  // writing does wait
  }
  if (descriptor_ < 0) FailSystem("open", path_);
}

// A new file gets what the umask leaves, and one that is replaced keeps its permissions and, where
// this process may say so, its owner.
void AtomicFile::CreateTemporary() {
  const bool replaces = target_.kind == OutputKind::kFile;
  const std::filesystem::path place = target_.path;
  const std::string name = place.filename().string().substr(0, kMaxNameBytes);
  for (int number = 0; descriptor_ < 0; ++number) {
    temporary_path_ = place.parent_path() / fmt::format("{}.tmp.{}.{}", name, getpid(), number);
    descriptor_ =
        open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
             replaces ? target_.mode & 0777 : 0666);
    // A process of this number may have been killed and have left its own.
    if (descriptor_ < 0 && (errno != EEXIST || number == kMaxTemporaryFiles)) {
      FailSystem("create a file there", path_);
    }
  }
  if (!replaces) return;
  const bool is_owner = fchown(descriptor_, target_.owner, target_.group) == 0;
  fchmod(descriptor_, is_owner ? target_.mode : target_.mode & 0777);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  if (target_.kind != OutputKind::kStream) unlink(temporary_path_.c_str());
}

void AtomicFile::Write(const void* data, size_t size) {
  bytes_written_ += size;
  if (buffer_.size() + size > kWriteBufferBytes) Flush();
  if (size > kWriteBufferBytes) {
    WriteThrough(static_cast<const char*>(data), size);
  } else {
    buffer_.append(static_cast<const char*>(data), size);
  }
}

void AtomicFile::Flush() {
  WriteThrough(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void AtomicFile::WriteThrough(const char* data, size_t size) {
  const BrokenPipeAsError guard;
  while (size > 0) {
    const ssize_t count = write(descriptor_, data, size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {  // a descriptor that others set not to wait
      pollfd wait = {descriptor_, POLLOUT, 0};
      poll(&wait, 1, -1);
      continue;
    }
    if (count < 0) FailSystem("write", path_);
    data += count;
    size -= static_cast<size_t>(count);
  }
}

void AtomicFile::RemoveOld() {
  if (target_.kind != OutputKind::kFile) return;
  if (unlink(target_.path.c_str()) != 0 && errno != ENOENT)
    FailSystem("remove the old file", path_);
  SyncDirectory(ParentOf(target_.path));
}

void AtomicFile::Sync() {
  if (target_.kind == OutputKind::kStream) return;
  Flush();
  if (fsync(descriptor_) != 0) FailSystem("sync", path_);
}

void AtomicFile::Commit() {
  const bool is_stream = target_.kind == OutputKind::kStream;
  if (is_stream) {
    Flush();
  } else {
    Sync();
  }
  const int closing = std::exchange(descriptor_, -1);
  try {
    if (close(closing) != 0) FailSystem("close", path_);
    if (!is_stream) RenameDurably(temporary_path_, target_.path);
  } catch (...) {
    if (!is_stream) unlink(temporary_path_.c_str());
    throw;
  }
}

}  // namespace blockformer
