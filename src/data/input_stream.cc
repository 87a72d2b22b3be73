#include "data/input_stream.h"

#include <zstd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {
namespace {

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

}  // namespace

void InputStream::FileCloser::operator()(std::FILE* file) const {
  if (file != stdin) std::fclose(file);
}

// zstd's state and the compressed bytes that it has not used yet.
class InputStream::Decompressor {
 public:
  Decompressor() : stream_(ZSTD_createDStream()), buffer_(ZSTD_DStreamInSize()) {
    Require(stream_ != nullptr, ErrorCode::kExhausted, "zstd: out of memory");
  }

  // False while input is left, or output that did not fit the last time.
  bool NeedsInput() const { return input_.pos == input_.size && !output_pending_; }
  std::vector<char>& buffer() { return buffer_; }
  void SetInput(size_t size) { input_ = {buffer_.data(), size, 0}; }

  // Between two frames, where a file may end.
  bool AtFrameEnd() const { return bytes_wanted_ == 0; }

  // Decompresses some of the input; returns the number of bytes written.
  size_t Decompress(char* data, size_t size, const std::string& path) {
    ZSTD_outBuffer output = {data, size, 0};
    bytes_wanted_ = ZSTD_decompressStream(stream_.get(), &output, &input_);
    Require(ZSTD_isError(bytes_wanted_) == 0, ErrorCode::kCorrupt, "{}: is not valid zstd data: {}",
            path, ZSTD_getErrorName(bytes_wanted_));
    output_pending_ = output.pos == size && !AtFrameEnd();
    return output.pos;
  }

 private:
  struct StreamFreer {
    void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
  };

  std::unique_ptr<ZSTD_DStream, StreamFreer> stream_;
  std::vector<char> buffer_;
  ZSTD_inBuffer input_ = {nullptr, 0, 0};
  bool output_pending_ = false;
  size_t bytes_wanted_ = 1;  // 0 at the end of a frame; a file without any frame is not zstd data
};

InputStream::InputStream(const std::string& path) : path_(path), file_(OpenForReading(path)) {
  if (path.ends_with(".zst")) decompressor_ = std::make_unique<Decompressor>();
}

InputStream::InputStream(InputStream&&) noexcept = default;
InputStream& InputStream::operator=(InputStream&&) noexcept = default;
InputStream::~InputStream() = default;

size_t InputStream::Read(char* data, size_t size) {
  return decompressor_ ? ReadCompressed(data, size) : ReadRaw(data, size);
}

size_t InputStream::ReadRaw(char* data, size_t size) {
  const size_t count = std::fread(data, 1, size, file_.get());
  if (count < size && std::ferror(file_.get()) != 0) {
    Fail(ErrorCode::kIo, "{}: cannot read: {}", path_, SystemErrorText(errno));
  }
  bytes_consumed_ += count;
  return count;
}

size_t InputStream::ReadCompressed(char* data, size_t size) {
  while (true) {
    if (decompressor_->NeedsInput()) {
      const size_t count = ReadRaw(decompressor_->buffer().data(), decompressor_->buffer().size());
      Require(count > 0 || decompressor_->AtFrameEnd(), ErrorCode::kCorrupt,
              "{}: the zstd data end inside a frame at byte {}; the file is cut short", path_,
              bytes_consumed_);
      if (count == 0) return 0;
      decompressor_->SetInput(count);
    }
    const size_t written = decompressor_->Decompress(data, size, path_);
    if (written > 0) return written;
  }
}

std::string ZstdVersion() { return ZSTD_versionString(); }

}  // namespace blockformer
