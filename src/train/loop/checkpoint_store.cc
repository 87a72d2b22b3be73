#include "train/loop/checkpoint_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/path.h"
#include "checkpoint/model_directory.h"
#include "text/tokenizer_paths.h"

namespace blockformer::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStepPrefix = "step-";
constexpr std::string_view kTemporaryPrefix = "tmp-";
constexpr char kLatest[] = "latest";
constexpr char kBest[] = "best";

std::string NameOf(int64_t step) { return fmt::format("{}{:08}", kStepPrefix, step); }

std::optional<int64_t> StepOf(std::string_view name) {
  if (!name.starts_with(kStepPrefix)) return std::nullopt;
  const std::string_view digits = name.substr(kStepPrefix.size());
  int64_t step = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, step);
  if (error != std::errc() || stop != end || NameOf(step) != name) return std::nullopt;
  return step;
}

// A link appears or changes in one rename.
void ReplaceLink(const std::string& target, const std::string& link) {
  if (fs::is_symlink(link) && fs::read_symlink(link) == target) return;
  const std::string temporary = link + ".tmp";
  fs::remove(temporary);
  fs::create_symlink(target, temporary);
  RenameDurably(temporary, link);
}

// Whether `path` is a link that UpdateLinks makes under this name.
bool IsLinkOf(const std::string& path, const std::string& name) {
  std::error_code ignored;
  const std::string target = fs::read_symlink(path, ignored).string();
  if (name == kLatest || name == kBest) return target.starts_with("checkpoints/");
  return target == fmt::format("{}/{}", kLatest, name);
}

std::string FirstFree(const std::string& prefix) {
  int64_t number = 1;
  while (FileExists(fmt::format("{}{}", prefix, number))) ++number;
  return fmt::format("{}{}", prefix, number);
}

// False, with errno as for a lock that another holds, if the directory was moved since it was
// opened.
bool IsNameOf(const std::string& path, int descriptor) {
  struct stat named = {};
  struct stat opened = {};
  errno = EWOULDBLOCK;
  return stat(path.c_str(), &named) == 0 && fstat(descriptor, &opened) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

// Runs operations of std::filesystem, whose exceptions name the paths but are not Errors.
template <typename Action>
void Guarded(const Action& action) {
  try {
    action();
  } catch (const fs::filesystem_error& error) {
    const bool full =
        error.code() == std::errc::no_space_on_device || error.code().value() == EDQUOT;
    Fail(full ? ErrorCode::kExhausted : ErrorCode::kIo, "{}: {}", error.path1().string(),
         error.code().message());
  }
}

}  // namespace

CheckpointStore::CheckpointStore(std::string output)
    : output_(WithoutTrailingSlashes(std::move(output))), directory_(output_ + "/checkpoints") {
  MakeDirectories(directory_);
  lock_ = open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0 || flock(lock_, LOCK_EX | LOCK_NB) != 0 || !IsNameOf(directory_, lock_)) {
    const int error_number = errno;
    if (lock_ >= 0) close(lock_);
    Require(error_number != EWOULDBLOCK, ErrorCode::kInvalidArgument,
            "output: {} is in use by another training; choose another directory or wait", output_);
    Fail(ErrorCode::kIo, "{}: cannot lock: {}", directory_, SystemErrorText(error_number));
  }
  RemoveUnfinished();
}

CheckpointStore::~CheckpointStore() { close(lock_); }

void CheckpointStore::RemoveUnfinished() const {
  Guarded([this] {
    for (const fs::directory_entry& entry : fs::directory_iterator(directory_)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(kTemporaryPrefix)) fs::remove_all(entry.path());
    }
  });
}

std::vector<int64_t> CheckpointStore::Steps() const {
  std::vector<int64_t> steps;
  Guarded([&] {
    for (const fs::directory_entry& entry : fs::directory_iterator(directory_)) {
      const auto step = StepOf(entry.path().filename().string());
      if (step) steps.push_back(*step);
    }
  });
  std::ranges::sort(steps);
  return steps;
}

std::string CheckpointStore::PathOf(int64_t step) const { return directory_ + "/" + NameOf(step); }

void CheckpointStore::Save(int64_t step,
                           const std::function<void(const std::string& directory)>& write) {
  const std::string temporary = fmt::format("{}/{}{}", directory_, kTemporaryPrefix, NameOf(step));
  try {
    Guarded([&] { fs::remove_all(temporary); });
    MakeDirectories(temporary);
    write(temporary);
    SyncDirectory(temporary);
    RenameDurably(temporary, PathOf(step));
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
}

// Leaves alone what the user may have put under that name.
void CheckpointStore::LinkIntoLatest(const std::string& name) const {
  const std::string link = fmt::format("{}/{}", output_, name);
  const bool wanted = FileExists(fmt::format("{}/{}/{}", output_, kLatest, name));
  if (wanted && !fs::exists(fs::symlink_status(link))) {
    ReplaceLink(fmt::format("{}/{}", kLatest, name), link);
  }
}

void CheckpointStore::UpdateLinks(int64_t latest_step, int64_t best_step) {
  Guarded([&] {
    ReplaceLink("checkpoints/" + NameOf(latest_step), output_ + "/" + kLatest);
    const std::string best = output_ + "/" + kBest;
    if (FileExists(PathOf(best_step))) {
      ReplaceLink("checkpoints/" + NameOf(best_step), best);
    } else if (fs::is_symlink(best) && !FileExists(best)) {
      fs::remove(best);
    }
    for (const char* name : {kConfigFile, kGenerationConfigFile, kWeightsFile, kModelCardFile}) {
      LinkIntoLatest(name);
    }
    for (const auto& [name, role] : kTokenizerFiles) LinkIntoLatest(name);
  });
}

bool CheckpointStore::Prune(int64_t keep_last, int64_t best_step) {
  std::vector<int64_t> steps = Steps();
  steps.resize(steps.size() - std::min(steps.size(), static_cast<size_t>(keep_last)));
  std::erase(steps, best_step);
  for (const int64_t step : steps) {
    // Renamed first, so that a crash leaves no checkpoint with some of its files gone.
    const std::string doomed = fmt::format("{}/{}{}", directory_, kTemporaryPrefix, NameOf(step));
    RenameDurably(PathOf(step), doomed);
    Guarded([&] { fs::remove_all(doomed); });
  }
  return !steps.empty();
}

std::string CheckpointStore::SetAside(int64_t step) {
  const std::string name = FirstFree(fmt::format("{}/unreadable-{}.", directory_, NameOf(step)));
  RenameDurably(PathOf(step), name);
  return name;
}

void RequireLinksOnly(const std::string& output, const TokenizerFiles& tokenizer) {
  const auto require = [&output](const std::string& name) {
    const std::string path = fmt::format("{}/{}", output, name);
    std::error_code ignored;
    const bool is_there = fs::exists(fs::symlink_status(path, ignored));
    Require(!is_there || IsLinkOf(path, name), ErrorCode::kInvalidArgument,
            "output: {} is there already and no link to a checkpoint; this model's would stand "
            "behind it. Choose another output, or --restart, which renames {} to {}.old-N",
            path, output, output);
  };
  for (const char* name :
       {kConfigFile, kGenerationConfigFile, kWeightsFile, kWeightsIndexFile, kLatest, kBest}) {
    require(name);
  }
  for (const auto& [name, contents] : tokenizer) {
    const std::string path = fmt::format("{}/{}", output, name);
    if (!FileExists(path) || ReadFile(path) != contents) require(name);
  }
}

std::string MoveAside(const std::string& path) {
  std::string from = WithoutTrailingSlashes(path);
  if (!FileExists(from)) return "";
  const bool is_link = fs::is_symlink(from);
  if (is_link) Guarded([&from] { from = fs::canonical(from).string(); });
  const std::string to = FirstFree(from + ".old-");
  RenameDurably(from, to);
  if (is_link) MakeDirectories(from);  // the link stays, and needs a directory to point to
  return to;
}

}  // namespace blockformer::train
