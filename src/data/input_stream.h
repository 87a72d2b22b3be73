#ifndef BLOCKFORMER_DATA_INPUT_STREAM_H_
#define BLOCKFORMER_DATA_INPUT_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace blockformer {

// The path that stands for standard input.
inline constexpr char kStandardInput[] = "-";

// The bytes of a file, of a pipe, or of standard input, once from the beginning to the end. What a
// name ending in ".zst" holds is decompressed: one zstd frame or several in a row. Memory is
// bounded by the zstd window (128 MiB at most), whatever the file's length. Not thread-safe.
class InputStream {
 public:
  // Throws Error (kNotFound, kIo, or kInvalidArgument for a directory) that names the path.
  explicit InputStream(const std::string& path);
  InputStream(InputStream&&) noexcept;
  InputStream& operator=(InputStream&&) noexcept;
  ~InputStream();

  // Writes up to `size` bytes and returns their number, which is 0 only at the end. Throws Error:
  // kIo, or kCorrupt when compressed data are damaged or end inside a frame.
  size_t Read(char* data, size_t size);

  // Bytes taken from the file so far, as it is stored (compressed).
  uint64_t bytes_consumed() const { return bytes_consumed_; }

 private:
  struct FileCloser {
    void operator()(std::FILE* file) const;
  };
  class Decompressor;

  size_t ReadRaw(char* data, size_t size);
  size_t ReadCompressed(char* data, size_t size);

  std::string path_;
  std::unique_ptr<std::FILE, FileCloser> file_;
  std::unique_ptr<Decompressor> decompressor_;  // null if the file is not compressed
  uint64_t bytes_consumed_ = 0;
};

// The version of zstd, such as "1.5.4".
std::string ZstdVersion();

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_INPUT_STREAM_H_
