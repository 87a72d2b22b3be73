#include "base/cpu.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>

namespace blockformer {
namespace {

const char* const kRelevantFeatures[] = {
    "sse4_2",   "fma",         "f16c",        "avx2",     "avx_vnni", "avx512f",
    "avx512bw", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd",
    "asimddp",  "asimdhp",     "bf16",        "i8mm",     "sve"};

int AvailableProcessors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

int64_t PhysicalMemoryBytes() { return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE); }

// The number that a file begins with; nothing if there is no file, or another word such as "max".
std::optional<int64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

// The number behind a word that begins a line.
std::optional<int64_t> ReadField(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    int64_t number = 0;
    if (words >> word >> number && word == name) return number;
  }
  return std::nullopt;
}

// The names of a control group's files, which differ between the versions of the interface.
struct MemoryController {
  std::string_view marker;  // in /proc/self/cgroup, before the path of the process's group
  const char* mount;
  const char* limit;
  const char* usage;
  const char* reclaimable;  // in memory.stat: pages of files, which make way for others
};
constexpr MemoryController kControllers[] = {
    {"0::", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"},
    {":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_inactive_file"}};

// What is left below the limit of the group in `directory`; nothing if it has none.
std::optional<int64_t> RoomOfGroup(const MemoryController& controller,
                                   const std::string& directory) {
  const std::optional<int64_t> limit = ReadNumber(directory + "/" + controller.limit);
  const std::optional<int64_t> usage = ReadNumber(directory + "/" + controller.usage);
  if (!limit || !usage) return std::nullopt;
  const std::string statistics = directory + "/memory.stat";
  return *limit - *usage + ReadField(statistics, controller.reclaimable).value_or(0);
}

// The path of this process's group that limits memory.
std::string MemoryGroup(const MemoryController& controller, const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t found = line.find(controller.marker);
    if (found == std::string::npos) continue;
    const size_t path = line.find('/', found);
    if (path != std::string::npos) return line.substr(path);
  }
  return "";
}

}  // namespace

CpuInfo GetCpuInfo() {
  CpuInfo info;
  info.processors = AvailableProcessors();
  info.memory_bytes = static_cast<uint64_t>(PhysicalMemoryBytes());
  std::set<std::string> flags;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string value = line.substr(std::min(colon + 2, line.size()));
    if (line.starts_with("model name")) info.model_name = value;
    if (line.starts_with("flags") || line.starts_with("Features")) {
      std::istringstream words(value);
      for (std::string word; words >> word;) flags.insert(word);
    }
  }
  for (const char* feature : kRelevantFeatures) {
    if (flags.count(feature) > 0) info.features.push_back(feature);
  }
  return info;
}

int64_t AvailableMemoryBytes(const std::string& root) {
  const std::optional<int64_t> kilobytes = ReadField(root + "/proc/meminfo", "MemAvailable:");
  int64_t available = kilobytes ? *kilobytes * 1024 : PhysicalMemoryBytes();
  for (const MemoryController& controller : kControllers) {
    // Inside a container the path may be one that only the host sees: then its last parent, the
    // mounted root, is the container's own group. The limits of all parents hold.
    std::string group = MemoryGroup(controller, root);
    while (true) {
      const auto room = RoomOfGroup(controller, root + controller.mount + group);
      if (room) available = std::min(available, *room);
      if (group.empty()) break;
      group.resize(group.rfind('/'));
    }
  }
  return std::max<int64_t>(0, available);
}

}  // namespace blockformer
