#include "data/decompressor.h"

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace blockformer {
namespace {

// Windows of 2^31 bytes, the longest that zstd writes (--long=31). Memory of a window is taken as
// it fills.
constexpr int kMaxZstdWindowLog = 31;

class ZstdDecompressor : public Decompressor {
 public:
  explicit ZstdDecompressor(std::string path)
      : path_(std::move(path)), stream_(ZSTD_createDStream()) {
    Require(stream_ != nullptr, ErrorCode::kExhausted, "zstd: out of memory");
    ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kMaxZstdWindowLog);
  }

  size_t Decompress(std::string_view* input, char* data, size_t size) override {
    ZSTD_outBuffer output = {data, size, 0};
    ZSTD_inBuffer compressed = {input->data(), input->size(), 0};
    bytes_wanted_ = ZSTD_decompressStream(stream_.get(), &output, &compressed);
    if (ZSTD_isError(bytes_wanted_) != 0) FailWith(bytes_wanted_);
    input->remove_prefix(compressed.pos);
    output_pending_ = output.pos == size && !AtEnd();
    return output.pos;
  }

  bool HasPendingOutput() const override { return output_pending_; }
  bool AtEnd() const override { return bytes_wanted_ == 0; }

 private:
  struct StreamFreer {
    void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
  };

  [[noreturn]] void FailWith(size_t result) const {
    switch (ZSTD_getErrorCode(result)) {
      case ZSTD_error_frameParameter_windowTooLarge:
        Fail(ErrorCode::kUnsupported,
             "{}: its zstd window is longer than 2^{} bytes, the longest that is read; compress "
             "it with `zstd --long={}` or a smaller window",
             path_, kMaxZstdWindowLog, kMaxZstdWindowLog);
      case ZSTD_error_memory_allocation:
        Fail(ErrorCode::kExhausted,
             "{}: not enough memory for its zstd window, which takes up to 2 GiB; compress it "
             "without --long",
             path_);
      default:
        Fail(ErrorCode::kCorrupt, "{}: is not valid zstd data: {}", path_,
             ZSTD_getErrorName(result));
    }
  }

  std::string path_;
  std::unique_ptr<ZSTD_DStream, StreamFreer> stream_;
  bool output_pending_ = false;
  size_t bytes_wanted_ = 1;  // 0 at the end of a frame; a file without any frame is not zstd data
};

class GzipDecompressor : public Decompressor {
 public:
  explicit GzipDecompressor(std::string path) : path_(std::move(path)) {
    constexpr int kGzipOnly = 16;
    Require(inflateInit2(&stream_, MAX_WBITS + kGzipOnly) == Z_OK, ErrorCode::kExhausted,
            "zlib: out of memory");
  }
  ~GzipDecompressor() override { inflateEnd(&stream_); }

  size_t Decompress(std::string_view* input, char* data, size_t size) override {
    if (at_end_ && !BeginMember(input)) return 0;
    constexpr size_t kMost = std::numeric_limits<uInt>::max();
    const size_t room = std::min(size, kMost);
    const size_t given = std::min(input->size(), kMost);
    // zlib reads through this pointer and does not write.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input->data()));
    stream_.avail_in = static_cast<uInt>(given);
    stream_.next_out = reinterpret_cast<Bytef*>(data);
    stream_.avail_out = static_cast<uInt>(room);
    const int result = inflate(&stream_, Z_NO_FLUSH);
    input->remove_prefix(given - stream_.avail_in);
    at_end_ = result == Z_STREAM_END;
    Require(result != Z_MEM_ERROR, ErrorCode::kExhausted, "zlib: out of memory");
    // Z_BUF_ERROR says that there was nothing to do.
    Require(at_end_ || result == Z_OK || result == Z_BUF_ERROR, ErrorCode::kCorrupt,
            "{}: is not valid gzip data: {}", path_,
            stream_.msg == nullptr ? "error of zlib" : stream_.msg);
    output_pending_ = stream_.avail_out == 0 && !at_end_;
    return room - stream_.avail_out;
  }

  bool HasPendingOutput() const override { return output_pending_; }
  bool AtEnd() const override { return at_end_; }

 private:
  // Skips the zero bytes that may fill a file up behind a member; false if nothing else follows.
  bool BeginMember(std::string_view* input) {
    input->remove_prefix(std::min(input->find_first_not_of('\0'), input->size()));
    if (input->empty()) return false;
    inflateReset(&stream_);
    return true;
  }

  std::string path_;
  z_stream stream_ = {};
  bool output_pending_ = false;
  bool at_end_ = false;
};

}  // namespace

std::unique_ptr<Decompressor> MakeDecompressor(Compression compression, const std::string& path) {
  if (compression == Compression::kZstd) return std::make_unique<ZstdDecompressor>(path);
  return std::make_unique<GzipDecompressor>(path);
}

}  // namespace blockformer
