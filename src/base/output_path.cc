#include "base/output_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>
#include <tuple>

#include "base/error.h"
#include "base/file.h"
#include "base/system_error.h"

namespace blockformer {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel follows
constexpr char kStandardStream[] = "-";

// A descriptor's number, if `link` is its name in the list of this process's open files.
std::optional<int> OwnDescriptor(const std::filesystem::path& link) {
  std::error_code error;
  if (link.parent_path() != std::filesystem::canonical("/proc/self/fd", error)) return std::nullopt;
  const std::string name = link.filename().string();
  int number = 0;
  const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (problem != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

OutputTarget OpenDescriptor(const std::string& path, int descriptor) {
  const int flags = fcntl(descriptor, F_GETFL);
  Require(flags >= 0 && (flags & O_ACCMODE) != O_RDONLY, ErrorCode::kInvalidArgument,
          "{}: file descriptor {} is not open for writing", path, descriptor);
  return {OutputKind::kStream, path, descriptor};
}

// The directory of a file, behind all links; the file need not be there.
std::filesystem::path FolderOf(const std::string& path, const std::filesystem::path& file) {
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  std::error_code error;
  std::filesystem::path result = std::filesystem::canonical(folder, error);
  if (error) {
    Fail(CodeOfSystemError(error.value()), "{}: the folder {} cannot be entered: {}", path,
         folder.string(), error.message());
  }
  Require(IsDirectory(result.string()), ErrorCode::kNotFound, "{}: {} is not a folder", path,
          folder.string());
  return result;
}

bool IsLink(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_symlink(path, ignored);
}

// Whether a link leads where its text says. Those in /proc lead to what they stand for, such as the
// pipe that another process has open.
bool IsToBeFollowed(const std::filesystem::path& file) {
  return IsLink(file) && !file.native().starts_with("/proc/");
}

// What stands at `file`; nothing for a link that is to be followed.
std::optional<OutputTarget> Classify(const std::string& path, const std::filesystem::path& file) {
  struct stat status = {};
  if (stat(file.c_str(), &status) != 0) {
    if (errno != ENOENT) FailSystem("write there", path);
    if (IsLink(file)) return std::nullopt;
    return OutputTarget{OutputKind::kNew, file.string()};
  }
  Require(!S_ISDIR(status.st_mode), ErrorCode::kInvalidArgument,
          "{}: is a folder; a file is wanted", path);
  Require(!S_ISSOCK(status.st_mode), ErrorCode::kInvalidArgument,
          "{}: is a socket; a file, a pipe or a device is wanted", path);
  OutputTarget target = {OutputKind::kStream, file.string()};
  target.is_pipe = S_ISFIFO(status.st_mode);
  if (IsToBeFollowed(file)) return std::nullopt;
  if (!S_ISREG(status.st_mode)) return target;
  target.kind = OutputKind::kFile;
  target.mode = status.st_mode & 07777;
  target.owner = status.st_uid;
  target.group = status.st_gid;
  return target;
}

// A file that is there, by device and inode.
using FileId = std::pair<dev_t, ino_t>;

// Nothing if it is not there, or may be written and read by several.
std::optional<FileId> IdOf(int result, const struct stat& status) {
  if (result != 0 || S_ISCHR(status.st_mode)) return std::nullopt;
  return FileId(status.st_dev, status.st_ino);
}

std::optional<FileId> IdOfOutput(const OutputTarget& target) {
  struct stat status = {};
  const int result = target.descriptor >= 0 ? fstat(target.descriptor, &status)
                                            : stat(target.path.c_str(), &status);
  return IdOf(result, status);
}

std::set<FileId> IdsOfInputs(const std::vector<std::string>& inputs) {
  std::set<FileId> ids;
  const auto add = [&ids](const std::string& path) {
    struct stat status = {};
    const int result =
        path == kStandardStream ? fstat(STDIN_FILENO, &status) : stat(path.c_str(), &status);
    if (const std::optional<FileId> id = IdOf(result, status)) ids.insert(*id);
  };
  for (const std::string& input : inputs) {
    add(input);
    std::error_code ignored;  // it is no directory
    for (const auto& entry : std::filesystem::directory_iterator(input, ignored)) {
      add(entry.path().string());
    }
  }
  return ids;
}

// Creates a file beside the one to come, and removes it: nothing else is sure to tell.
void RequireWritable(const OutputTarget& target) {
  if (target.kind != OutputKind::kNew && eaccess(target.path.c_str(), W_OK) != 0 &&
      target.descriptor < 0) {
    FailSystem("write there", target.path);
  }
  if (target.kind != OutputKind::kStream) const AtomicFile trial(target.path);
}

std::optional<OutputTarget> TryToResolve(const std::string& path) {
  try {
    return ResolveOutput(path);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Readers go by such a name.
void RequireUncompressedName(const std::string& flag, const std::string& path,
                             const OutputTarget& target) {
  for (const char* ending : {".gz", ".zst", ".zstd"}) {
    Require(target.kind == OutputKind::kStream || !path.ends_with(ending),
            ErrorCode::kInvalidArgument,
            "{}: {}: results are not compressed; a name without {} is wanted", flag, path, ending);
  }
}

}  // namespace

OutputTarget ResolveOutput(const std::string& path) {
  Require(!path.empty(), ErrorCode::kInvalidArgument, "the path of an output is empty");
  if (path == kStandardStream) return OpenDescriptor(path, STDOUT_FILENO);
  std::filesystem::path file = path;
  for (int links = 0; links <= kMaxLinks; ++links) {
    const std::filesystem::path folder = FolderOf(path, file);
    Require(file.has_filename(), ErrorCode::kInvalidArgument, "{}: is a folder; a file is wanted",
            path);
    file = folder / file.filename();
    if (const std::optional<int> descriptor = OwnDescriptor(file)) {
      return OpenDescriptor(path, *descriptor);
    }
    if (const std::optional<OutputTarget> target = Classify(path, file)) return *target;
    std::error_code error;
    const std::filesystem::path link = std::filesystem::read_symlink(file, error);
    Require(!error, ErrorCode::kIo, "{}: cannot read the link {}: {}", path, file.string(),
            error.message());
    file = folder / link;
  }
  Fail(ErrorCode::kIo, "{}: leads through more than {} symbolic links", path, kMaxLinks);
}

bool IsStandardOutput(const std::string& path) {
  const std::optional<OutputTarget> target = TryToResolve(path);
  return target && target->descriptor == STDOUT_FILENO;
}

bool IsStream(const std::string& path) {
  const std::optional<OutputTarget> target = TryToResolve(path);
  return target && target->kind == OutputKind::kStream;
}

void CheckOutputs(const std::vector<OutputFlag>& outputs, const std::vector<std::string>& inputs,
                  bool force) {
  const std::set<FileId> read = IdsOfInputs(inputs);
  std::set<FileId> written;
  std::set<std::string> created;
  for (const auto& [flag, path] : outputs) {
    if (path.empty()) continue;
    OutputTarget target;
    try {
      target = ResolveOutput(path);
      RequireWritable(target);
    } catch (const Error& error) {
      Fail(ErrorCode::kInvalidArgument, "{}: {}", flag, error.what());
    }
    RequireUncompressedName(flag, path, target);
    const std::optional<FileId> id = IdOfOutput(target);
    Require(!id || !read.contains(*id), ErrorCode::kInvalidArgument,
            "{}: {}: is also an input, which it would overwrite; another file is wanted", flag,
            path);
    const bool is_first =
        id ? written.insert(*id).second
           : target.kind != OutputKind::kNew || created.insert(target.path).second;
    Require(is_first, ErrorCode::kInvalidArgument,
            "{}: {}: is also another output; each needs a file of its own", flag, path);
    Require(force || target.kind != OutputKind::kFile, ErrorCode::kInvalidArgument,
            "{}: {}: is there already; `force` replaces it", flag, path);
  }
}

}  // namespace blockformer
