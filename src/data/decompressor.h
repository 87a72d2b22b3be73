#ifndef BLOCKFORMER_DATA_DECOMPRESSOR_H_
#define BLOCKFORMER_DATA_DECOMPRESSOR_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "data/compression.h"

namespace blockformer {

// Decompresses a stream piece by piece: any number of zstd frames or gzip members in a row. Not
// thread-safe.
class Decompressor {
 public:
  Decompressor() = default;
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  virtual ~Decompressor() = default;

  // Takes bytes from the front of `input`, writes up to `size` bytes and returns their number,
  // which may be 0 while input is left. Throws Error that names the path: kCorrupt for damaged
  // data, kExhausted if memory for its window is short, kUnsupported if the window is longer than
  // 2 GiB.
  virtual size_t Decompress(std::string_view* input, char* data, size_t size) = 0;

  // Whether output may be left although all input was taken.
  virtual bool HasPendingOutput() const = 0;

  // Whether the stream may end here: behind a frame or member.
  virtual bool AtEnd() const = 0;
};

// `compression` is one. `path` opens the messages.
std::unique_ptr<Decompressor> MakeDecompressor(Compression compression, const std::string& path);

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_DECOMPRESSOR_H_
