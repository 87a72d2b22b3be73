#ifndef BLOCKFORMER_DATA_COMPRESSION_H_
#define BLOCKFORMER_DATA_COMPRESSION_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace blockformer {

// How a file of text is stored.
enum class Compression { kNone, kZstd, kGzip };

// The first so many bytes of a file tell what it is.
inline constexpr size_t kFileHeadBytes = 512;

// Whether a path ends so, capital letters or not: "A.JSONL" ends with ".jsonl".
bool HasEnding(std::string_view path, std::string_view ending);

// The path without an ending of a compression that is read: .zst, .zstd or .gz.
std::string_view WithoutCompression(std::string_view path);

// Throws Error(kUnsupported) that says what to do if the name is that of a compressed file, an
// archive or a table that is not read (.xz, .zip, .tar.gz, .parquet, ...).
void RefuseUnreadableName(const std::string& path);

// What the file is by its first bytes (kFileHeadBytes, or all of a shorter file), and by its name
// if there are too few of them. Throws Error: kUnsupported as above, kCorrupt if a name promises
// compressed data and the bytes are not.
Compression DetectCompression(const std::string& path, std::string_view head);

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_COMPRESSION_H_
