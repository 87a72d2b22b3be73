#include "devices/cuda_plugin.h"

#include <dlfcn.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/build_id.h"
#include "base/error.h"

namespace blockformer {
namespace {

std::string NamedPlugin() {
  const char* name = std::getenv("BLOCKFORMER_CUDA");
  return name != nullptr ? name : "";
}

// The folder of the library that this code is part of; empty for code of the program itself, which
// is known by what it was started as.
std::filesystem::path LibraryFolder() {
  Dl_info info = {};
  if (dladdr(reinterpret_cast<const void*>(&GetCudaPlugin), &info) == 0) return {};
  std::error_code ignored;
  const std::filesystem::path path = info.dli_fname;
  return path.is_absolute() ? std::filesystem::canonical(path, ignored).parent_path() : "";
}

std::vector<std::string> PluginPaths() {
  std::error_code ignored;
  const std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  std::vector<std::string> paths;
  for (const std::filesystem::path& folder :
       {LibraryFolder(), program, program / BLOCKFORMER_LIBRARIES_FROM_PROGRAMS}) {
    std::string path = (folder / cuda::kPluginFile).lexically_normal().string();
    const bool is_new = std::ranges::find(paths, path) == paths.end();
    if (folder.is_absolute() && is_new) paths.push_back(std::move(path));
  }
  return paths;
}

// The table of a file that is there. Throws Error(kUnsupported).
const cuda::PluginTable* OpenTable(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) Fail(ErrorCode::kUnsupported, "{} cannot be opened: {}", path, dlerror());
  const auto function =
      reinterpret_cast<cuda::PluginFunction>(dlsym(library, cuda::kPluginFunction));
  Require(function != nullptr, ErrorCode::kUnsupported, "{} is no plugin of blockformer", path);
  const cuda::PluginTable* table = function();
  Require(std::string(table->build_id) == kBuildId, ErrorCode::kUnsupported,
          "{} is of another build: \"{}\", where \"{}\" is wanted", path, table->build_id,
          kBuildId);
  return table;
}

CudaPlugin OpenPlugin() {
  CudaPlugin plugin;
  const std::string named = NamedPlugin();
  if (named == "off") {
    plugin.problem = "BLOCKFORMER_CUDA is off";
    return plugin;
  }
  plugin.is_expected = !named.empty();
  const std::vector<std::string> paths = named.empty() ? PluginPaths() : std::vector{named};
  for (const std::string& path : paths) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) continue;
    plugin.is_expected = true;
    try {
      const cuda::PluginTable* table = OpenTable(path);
      plugin.devices = table->device_count();
      if (plugin.devices > 0) plugin.table = table;
      plugin.problem = "there is no CUDA device";
    } catch (const Error& error) {
      plugin.problem = error.what();
    }
    return plugin;
  }
  plugin.problem = fmt::format("there is no plugin for it; {} {} looked for",
                               fmt::join(paths, " and "), paths.size() == 1 ? "was" : "were");
  return plugin;
}

}  // namespace

const CudaPlugin& GetCudaPlugin() {
  static const CudaPlugin plugin = OpenPlugin();
  return plugin;
}

}  // namespace blockformer
