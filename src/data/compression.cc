#include "data/compression.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace blockformer {
namespace {

using namespace std::string_view_literals;

// A kind of file that is not read.
struct UnreadableKind {
  std::string_view name;
  std::array<std::string_view, 5> endings;
  std::array<std::string_view, 2> magic;  // its first bytes
  std::string_view remedy;                // a command that makes text of FILE
};

constexpr UnreadableKind kUnreadable[] = {
    {"is compressed by bzip2",
     {".bz2", ".bz"},
     {},  // IsBzip2()
     "bzip2 -dc FILE > TEXT"},
    {"is compressed by xz",
     {".xz"},
     {"\xFD"
      "7zXZ\0"sv},
     "xz -dc FILE > TEXT"},
    {"is compressed by lzma", {".lzma"}, {}, "xz -dc FILE > TEXT"},
    {"is compressed by lz4",
     {".lz4"},
     {"\x04\x22\x4D\x18", "\x02\x21\x4C\x18"},
     "lz4 -dc FILE > TEXT"},
    {"is compressed by lzip", {".lz"}, {"LZIP\x01"}, "lzip -dc FILE > TEXT"},
    {"is compressed by lzop", {".lzo"}, {"\x89LZO\0"sv}, "lzop -dc FILE > TEXT"},
    {"is compressed by brotli", {".br"}, {}, "brotli -dc FILE > TEXT"},
    {"is compressed by snappy",
     {".sz", ".snappy"},
     {"\xFF\x06\0\0sNaPpY"sv},
     "snzip -dc FILE > TEXT"},
    {"is compressed by compress", {".z"}, {"\x1F\x9D"}, "uncompress -c FILE > TEXT"},
    {"is a zip archive", {".zip"}, {"PK\x03\x04", "PK\x05\x06"}, "unzip -p FILE > TEXT"},
    {"is a 7z archive", {".7z"}, {"7z\xBC\xAF\x27\x1C"}, "7z x -so FILE > TEXT"},
    {"is a rar archive", {".rar"}, {"Rar!\x1A\x07"}, "unrar p -inul FILE > TEXT"},
    {"is a tar archive", {".tar", ".tgz", ".tbz2", ".txz", ".tzst"}, {}, "tar -xf FILE"},
    {"is a Parquet table",
     {".parquet"},
     {"PAR1\x15"},
     "pandas.read_parquet(FILE).to_json(TEXT, orient=\"records\", lines=True)"},
    {"is an Arrow table",
     {".arrow", ".feather"},
     {"ARROW1\0\0"sv},
     "pandas.read_feather(FILE).to_json(TEXT, orient=\"records\", lines=True)"},
};

constexpr std::string_view kZstdMagic = "\x28\xB5\x2F\xFD";
constexpr std::string_view kGzipMagic = "\x1F\x8B";

char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

[[noreturn]] void Refuse(const std::string& path, const UnreadableKind& kind) {
  Fail(ErrorCode::kUnsupported,
       "{}: {}, which is not read; plain text, .zst and .gz are. Convert it first: {}", path,
       kind.name, kind.remedy);
}

bool IsUstar(std::string_view head) {
  constexpr size_t kMagicOffset = 257;
  return head.size() > kMagicOffset && head.substr(kMagicOffset).starts_with("ustar");
}

// A level from 1 to 9 stands in a bzip2 file behind "BZh".
bool IsBzip2(std::string_view head) {
  return head.starts_with("BZh") && head.size() >= 10 && head.substr(4, 6) == "1AY&SY";
}

void RefuseUnreadableBytes(const std::string& path, std::string_view head) {
  for (const UnreadableKind& kind : kUnreadable) {
    const bool has_magic = std::ranges::any_of(kind.magic, [&](std::string_view magic) {
      return !magic.empty() && head.starts_with(magic);
    });
    const bool is_bzip2 = kind.endings[0] == ".bz2" && IsBzip2(head);
    const bool is_tar = kind.endings[0] == ".tar" && IsUstar(head);
    if (has_magic || is_bzip2 || is_tar) Refuse(path, kind);
  }
}

// zstd's data may begin with a frame to be skipped.
bool IsZstd(std::string_view head) {
  return head.starts_with(kZstdMagic) ||
         (head.size() >= 4 && (head[0] & 0xF0) == 0x50 && head.substr(1, 3) == "\x2A\x4D\x18");
}

Compression CompressionByName(std::string_view path) {
  if (HasEnding(path, ".gz")) return Compression::kGzip;
  if (HasEnding(path, ".zst") || HasEnding(path, ".zstd")) return Compression::kZstd;
  return Compression::kNone;
}

}  // namespace

bool HasEnding(std::string_view path, std::string_view ending) {
  return path.size() >= ending.size() &&
         std::ranges::equal(path.substr(path.size() - ending.size()), ending,
                            [](char a, char b) { return ToLower(a) == b; });
}

std::string_view WithoutCompression(std::string_view path) {
  for (const std::string_view ending : {".zst", ".zstd", ".gz"}) {
    if (HasEnding(path, ending)) return path.substr(0, path.size() - ending.size());
  }
  return path;
}

void RefuseUnreadableName(const std::string& path) {
  const std::string_view inner = WithoutCompression(path);
  for (const UnreadableKind& kind : kUnreadable) {
    for (const std::string_view ending : kind.endings) {
      if (!ending.empty() && HasEnding(inner, ending)) Refuse(path, kind);
    }
  }
}

Compression DetectCompression(const std::string& path, std::string_view head) {
  RefuseUnreadableBytes(path, head);
  if (IsZstd(head)) return Compression::kZstd;
  if (head.starts_with(kGzipMagic)) return Compression::kGzip;
  const Compression promised = CompressionByName(path);
  if (promised == Compression::kNone) return promised;
  const bool is_zstd = promised == Compression::kZstd;
  // A file that is cut short may hold fewer than the magic bytes.
  Require((is_zstd ? kZstdMagic : kGzipMagic).starts_with(head), ErrorCode::kCorrupt,
          "{}: is not valid {} data, which its name promises; a file that is not compressed needs "
          "a name without {}",
          path, is_zstd ? "zstd" : "gzip", path.substr(WithoutCompression(path).size()));
  return promised;
}

}  // namespace blockformer
