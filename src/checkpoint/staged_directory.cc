#include "checkpoint/staged_directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "checkpoint/model_directory.h"

namespace blockformer {
namespace {

// Without the slashes at the end, which would make the temporary directory a part of it.
std::string WithoutTrailingSlashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

// Weights and other files, and no directories: a training run, which is a model directory too,
// holds its checkpoints.
bool IsPlainModelDirectory(const std::string& path) {
  if (!FileExists(path + "/" + kWeightsFile) && !FileExists(path + "/" + kWeightsIndexFile)) {
    return false;
  }
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
    if (entry.is_directory()) return false;
  }
  return true;
}

void RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) LogWarning("{}: cannot be removed: {}", path, error.message());
}

}  // namespace

StagedDirectory::StagedDirectory(std::string destination, bool replace)
    : destination_(WithoutTrailingSlashes(std::move(destination))) {
  Require(!destination_.empty(), ErrorCode::kInvalidArgument,
          "the destination is empty; the name of a directory is wanted");
  std::error_code ignored;
  if (FileExists(destination_) || std::filesystem::is_symlink(destination_, ignored)) {
    Require(replace, ErrorCode::kInvalidArgument,
            "{}: is there already; choose another name, or replace it with --force", destination_);
    Require(IsPlainModelDirectory(destination_), ErrorCode::kInvalidArgument,
            "{}: is not a directory of a model's files alone; --force replaces nothing else",
            destination_);
  }
  path_ = fmt::format("{}.tmp.{}", destination_, getpid());
  Require(!FileExists(path_), ErrorCode::kIo,
          "{}: is left from an earlier conversion that was killed; remove it", path_);
  MakeDirectories(path_);
}

StagedDirectory::~StagedDirectory() {
  if (!path_.empty()) RemoveTree(path_);
}

void StagedDirectory::Commit() {
  SyncDirectory(path_);
  if (!FileExists(destination_)) {
    RenameDurably(path_, destination_);
    path_.clear();
    return;
  }
  const int swapped =
      renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, destination_.c_str(), RENAME_EXCHANGE);
  Require(swapped == 0, ErrorCode::kIo, "{}: cannot be replaced: {}", destination_,
          SystemErrorText(errno));
  const std::string parent = std::filesystem::path(destination_).parent_path().string();
  SyncDirectory(parent.empty() ? "." : parent);
  // What now has the temporary name is the old directory; the destructor removes it.
}

}  // namespace blockformer
