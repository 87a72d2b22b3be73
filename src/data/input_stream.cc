#include "data/input_stream.h"

#include <sys/stat.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {
namespace {

constexpr size_t kCompressedBufferBytes = size_t{1} << 17;

std::FILE* OpenForReading(const std::string& path) {
  if (path == kStandardInput) return stdin;
  Require(!IsDirectory(path), ErrorCode::kInvalidArgument,
          "{}: is a directory; name the files in it", path);
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) {
    const int error_number = errno;
    Fail(error_number == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: cannot open: {}",
         path, SystemErrorText(error_number));
  }
  return file;
}

bool IsRegular(std::FILE* file) {
  struct stat status = {};
  return fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

void InputStream::FileCloser::operator()(std::FILE* file) const {
  if (file != stdin) std::fclose(file);
}

InputStream::InputStream(const std::string& path) : path_(path) {
  RefuseUnreadableName(path);
  file_.reset(OpenForReading(path));
  if (IsRegular(file_.get())) ReadHead();
}

InputStream::InputStream(InputStream&&) noexcept = default;
InputStream& InputStream::operator=(InputStream&&) noexcept = default;
InputStream::~InputStream() = default;

size_t InputStream::Read(char* data, size_t size) {
  if (!has_read_head_) ReadHead();
  return decompressor_ ? ReadCompressed(data, size) : ReadRaw(data, size);
}

void InputStream::ReadHead() {
  has_read_head_ = true;
  head_.resize(kFileHeadBytes);
  head_.resize(ReadFile(head_.data(), head_.size()));
  compression_ = DetectCompression(path_, head_);
  if (compression_ == Compression::kNone) return;
  decompressor_ = MakeDecompressor(compression_, path_);
  compressed_.resize(kCompressedBufferBytes);
}

size_t InputStream::ReadRaw(char* data, size_t size) {
  const size_t from_head = std::min(size, head_.size() - head_begin_);
  std::memcpy(data, head_.data() + head_begin_, from_head);
  head_begin_ += from_head;
  return from_head + ReadFile(data + from_head, size - from_head);
}

size_t InputStream::ReadFile(char* data, size_t size) {
  const size_t count = std::fread(data, 1, size, file_.get());
  if (count < size && std::ferror(file_.get()) != 0) {
    Fail(ErrorCode::kIo, "{}: cannot read: {}", path_, SystemErrorText(errno));
  }
  bytes_consumed_ += count;
  return count;
}

size_t InputStream::ReadCompressed(char* data, size_t size) {
  while (true) {
    if (remaining_.empty() && !decompressor_->HasPendingOutput()) {
      const size_t count = ReadRaw(compressed_.data(), compressed_.size());
      const bool is_zstd = compression_ == Compression::kZstd;
      Require(count > 0 || decompressor_->AtEnd(), ErrorCode::kCorrupt,
              "{}: the {} data end inside a {} at byte {}; the file is cut short", path_,
              is_zstd ? "zstd" : "gzip", is_zstd ? "frame" : "member", bytes_consumed_);
      if (count == 0) return 0;
      remaining_ = std::string_view(compressed_).substr(0, count);
    }
    const size_t written = decompressor_->Decompress(&remaining_, data, size);
    if (written > 0) return written;
  }
}

std::string ZstdVersion() { return ZSTD_versionString(); }

}  // namespace blockformer
