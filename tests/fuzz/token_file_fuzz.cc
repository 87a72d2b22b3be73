// Any bytes as a token file pair: an Error, or documents whose every token can be read. The first
// two bytes say how many of the rest are the index.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "blockformer/error.h"
#include "data/token_file.h"

namespace {

// A directory that is removed when the program ends.
class ScratchDirectory {
 public:
  ScratchDirectory()
      : path_(std::filesystem::temp_directory_path() /
              ("token_file_fuzz." + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }

  std::string prefix() const { return (path_ / "tokens").string(); }

 private:
  std::filesystem::path path_;
};

void Write(const std::string& path, std::string_view contents) {
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream << contents;
  if (!stream.good()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ScratchDirectory directory;
  if (size < 2) return 0;
  const size_t index_size = data[0] + 256U * data[1];
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  if (index_size > rest.size()) return 0;
  Write(directory.prefix() + ".idx", rest.substr(0, index_size));
  Write(directory.prefix() + ".bin", rest.substr(index_size));
  try {
    const blockformer::TokenFile file(directory.prefix());
    int64_t total = 0;
    for (int64_t document = 0; document < file.NumDocuments(); ++document) {
      std::vector<int32_t> tokens(file.DocumentLength(document));
      file.ReadTokens(document, 0, tokens);
      total += static_cast<int64_t>(tokens.size());
    }
    if (total != file.NumTokens()) std::abort();
  } catch (const blockformer::Error&) {
  }
  return 0;
}
