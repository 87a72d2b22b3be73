#include "base/temporary_folder.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/error.h"

namespace blockformer {

TemporaryFolder::TemporaryFolder() {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  Require(!error, ErrorCode::kIo, "TMPDIR: names no folder for temporary files: {}",
          error.message());
  path_ = (parent / "blockformer.XXXXXX").string();
  Require(mkdtemp(path_.data()) != nullptr, ErrorCode::kIo,
          "cannot make a folder in {}: {}; TMPDIR names another place", parent.string(),
          SystemErrorText(errno));
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace blockformer
