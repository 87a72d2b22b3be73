#ifndef BLOCKFORMER_DATA_INPUT_STREAM_H_
#define BLOCKFORMER_DATA_INPUT_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "data/decompressor.h"

namespace blockformer {

// The path that stands for standard input.
inline constexpr char kStandardInput[] = "-";

// The bytes of a file, of a pipe, or of standard input, once from the beginning to the end. What
// zstd or gzip compressed is decompressed, by its first bytes, whatever its name: one frame or
// member or several in a row. Memory is bounded by the zstd window (2 GiB at most, 8 MiB without
// zstd's --long), whatever the file's length. Not thread-safe.
class InputStream {
 public:
  // Throws Error that names the path: kNotFound, kIo, kInvalidArgument for a directory, and what
  // RefuseUnreadableName() throws; for a regular file also what DetectCompression() throws, which
  // comes with the first Read() otherwise.
  explicit InputStream(const std::string& path);
  InputStream(InputStream&&) noexcept;
  InputStream& operator=(InputStream&&) noexcept;
  ~InputStream();

  // Writes up to `size` bytes and returns their number, which is 0 only at the end. Throws Error:
  // kIo, or kCorrupt when compressed data are damaged or end inside a frame or member; what
  // Decompressor throws.
  size_t Read(char* data, size_t size);

  // Bytes taken from the file so far, as it is stored (compressed).
  uint64_t bytes_consumed() const { return bytes_consumed_; }

 private:
  struct FileCloser {
    void operator()(std::FILE* file) const;
  };

  // Reads the first bytes, which tell whether the rest is compressed.
  void ReadHead();
  size_t ReadRaw(char* data, size_t size);
  size_t ReadFile(char* data, size_t size);
  size_t ReadCompressed(char* data, size_t size);

  std::string path_;
  std::unique_ptr<std::FILE, FileCloser> file_;
  bool has_read_head_ = false;
  std::string head_;            // the first bytes
  size_t head_begin_ = 0;       // those from here on have not been handed on
  std::string compressed_;      // a buffer
  std::string_view remaining_;  // the part of compressed_ that is not decompressed yet
  Compression compression_ = Compression::kNone;
  std::unique_ptr<Decompressor> decompressor_;  // null if the file is not compressed
  uint64_t bytes_consumed_ = 0;
};

// The version of zstd, such as "1.5.4".
std::string ZstdVersion();

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_INPUT_STREAM_H_
