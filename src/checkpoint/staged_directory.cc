#include "checkpoint/staged_directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "base/system_error.h"
#include "checkpoint/model_directory.h"

namespace blockformer {
namespace {

// Where a path leads to, so that symbolic links stay; without slashes at the end, which would make
// the temporary directory a part of it.
std::string BehindLinks(const std::string& path) {
  constexpr int kMaxLinks = 40;  // as the kernel follows
  std::filesystem::path result = WithoutTrailingSlashes(path);
  std::error_code ignored;
  for (int links = 0; std::filesystem::is_symlink(result, ignored); ++links) {
    Require(links < kMaxLinks, ErrorCode::kInvalidArgument,
            "{}: leads through more than {} symbolic links", path, kMaxLinks);
    result = result.parent_path() / std::filesystem::read_symlink(result);
  }
  return WithoutTrailingSlashes(result.string());
}

// Whether something stands there that would be lost: an empty directory is as good as none.
bool IsTaken(const std::string& path) {
  std::error_code ignored;
  const bool is_empty_directory = IsDirectory(path) && std::filesystem::is_empty(path, ignored);
  return FileExists(path) && !is_empty_directory;
}

void RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) LogWarning("{}: cannot be removed: {}", path, error.message());
}

}  // namespace

StagedDirectory::StagedDirectory(const std::string& destination, bool replace,
                                 std::function<bool(const std::string& name)> is_own_name)
    : destination_(BehindLinks(destination)),
      replace_(replace),
      is_own_name_(std::move(is_own_name)) {
  Require(!destination_.empty(), ErrorCode::kInvalidArgument,
          "the destination is empty; the name of a directory is wanted");
  const bool is_taken = IsTaken(destination_);
  Require(replace || !is_taken, ErrorCode::kInvalidArgument,
          "{}: is there already; choose another name, or replace it with `force`", destination);
  if (is_taken) {
    std::error_code ignored;
    Require(!std::filesystem::is_symlink(WithoutTrailingSlashes(destination), ignored),
            ErrorCode::kInvalidArgument,
            "{}: is a symbolic link to {}, which others may need; name that directory to replace "
            "it",
            destination, destination_);
    RequireReplaceable();
  }
  const std::filesystem::path parent = std::filesystem::path(destination_).parent_path();
  if (!parent.empty()) MakeDirectories(parent.string());
  const std::string path = fmt::format("{}.tmp.{}", destination_, getpid());
  if (mkdir(path.c_str(), 0777) != 0) {
    Require(errno != EEXIST, ErrorCode::kIo,
            "{}: is left from an earlier conversion that was killed; remove it", path);
    FailSystem("create the directory", path);
  }
  path_ = path;
  if (!FileExists(destination_)) return;
  struct stat status = {};
  if (stat(destination_.c_str(), &status) != 0 ||
      chmod(path.c_str(), status.st_mode & 07777) != 0) {
    const int error = errno;
    RemoveTree(path);  // no destructor runs
    errno = error;
    FailSystem("give the old one's permissions to", path);
  }
}

StagedDirectory::~StagedDirectory() {
  if (!path_.empty()) RemoveTree(path_);
}

// A training run is a model directory too, and so are its checkpoints.
void StagedDirectory::RequireReplaceable() const {
  Require(FileExists(destination_ + "/" + kWeightsFile) ||
              FileExists(destination_ + "/" + kWeightsIndexFile),
          ErrorCode::kInvalidArgument,
          "{}: is no directory of a model; `force` replaces nothing else", destination_);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(destination_, error)) {
    const std::string name = entry.path().filename().string();
    const bool is_file = entry.symlink_status().type() == std::filesystem::file_type::regular;
    Require(is_file && is_own_name_(name), ErrorCode::kInvalidArgument,
            "{}: holds {}, which is no file of a converted model; `force` replaces a directory of "
            "such files alone",
            destination_, name);
  }
  if (error) Fail(ErrorCode::kIo, "{}: cannot be listed: {}", destination_, error.message());
}

void StagedDirectory::Commit() {
  SyncDirectory(path_);
  if (!FileExists(destination_)) {
    RenameDurably(path_, destination_);  // fails if another directory appears at this moment
    path_.clear();
    return;
  }
  const bool is_taken = IsTaken(destination_);
  Require(
      replace_ || !is_taken, ErrorCode::kInvalidArgument,
      "{}: has appeared meanwhile, written by another program, and is left alone; choose another "
      "name, or replace it with `force`",
      destination_);
  if (is_taken) RequireReplaceable();
  const int swapped =
      renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, destination_.c_str(), RENAME_EXCHANGE);
  Require(swapped == 0, ErrorCode::kIo, "{}: cannot be replaced: {}", destination_,
          SystemErrorText(errno));
  const std::string parent = std::filesystem::path(destination_).parent_path().string();
  SyncDirectory(parent.empty() ? "." : parent);
  // What now has the temporary name is the old directory; the destructor removes it.
}

}  // namespace blockformer
