#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr size_t kWriteBufferBytes = size_t{1} << 20;

ErrorCode CodeOf(int error_number) {
  if (error_number == ENOENT || error_number == ENOTDIR) return ErrorCode::kNotFound;
  if (error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG ||
      error_number == ENOMEM) {
    return ErrorCode::kExhausted;
  }
  return ErrorCode::kIo;
}

[[noreturn]] void FailSystem(std::string_view action, const std::string& path) {
  const int error_number = errno;
  Fail(CodeOf(error_number), "{}: cannot {}: {}", path, action, SystemErrorText(error_number));
}

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

std::string ParentOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

bool FileExists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

bool IsDirectory(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

std::string ReadFile(const std::string& path, uint64_t max_bytes) {
  const Descriptor file(path, O_RDONLY);
  const auto expected = static_cast<uint64_t>(StatusOf(file, path).st_size);
  std::string contents;
  contents.reserve(static_cast<size_t>(std::min(expected, max_bytes)));
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = read(file.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) FailSystem("read", path);
    if (count == 0) return contents;
    contents.append(buffer, static_cast<size_t>(count));
    Require(contents.size() <= max_bytes, ErrorCode::kExhausted,
            "{}: is larger than the {} bytes that are read at most", path, max_bytes);
  }
}

void MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    Fail(CodeOf(error.value()), "{}: cannot create the directory: {}", path, error.message());
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

AtomicFile::AtomicFile(std::string path)
    : path_(std::move(path)), temporary_path_(fmt::format("{}.tmp.{}", path_, getpid())) {
  descriptor_ = open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) FailSystem("create", temporary_path_);
  buffer_.reserve(kWriteBufferBytes);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_path_.c_str());
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
  while (size > 0) {
    const ssize_t count = write(descriptor_, data, size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) FailSystem("write", temporary_path_);
    data += count;
    size -= static_cast<size_t>(count);
  }
}

void AtomicFile::Commit() {
  Flush();
  if (fsync(descriptor_) != 0) FailSystem("sync", temporary_path_);
  const int closing = std::exchange(descriptor_, -1);
  try {
    if (close(closing) != 0) FailSystem("close", temporary_path_);
    RenameDurably(temporary_path_, path_);
  } catch (...) {
    unlink(temporary_path_.c_str());
    throw;
  }
}

}  // namespace blockformer
