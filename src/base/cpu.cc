#include "base/cpu.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
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

constexpr int kMaxProcessors = 1 << 16;

// Processors in the affinity mask, of which some kernels have more than fit into a cpu_set_t.
int ProcessorsOfAffinity() {
  for (int most = CPU_SETSIZE; most <= kMaxProcessors; most *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(most));
    const size_t size = CPU_ALLOC_SIZE(static_cast<size_t>(most));
    const bool read = set != nullptr && sched_getaffinity(0, size, set) == 0;
    const int count = read ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
  return static_cast<int>(std::max(sysconf(_SC_NPROCESSORS_ONLN), 1L));
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

// Where a version of the control groups' interface keeps the groups of a controller.
struct GroupHierarchy {
  std::string_view controller;  // in /proc/self/cgroup; version 2 has one hierarchy without a name
  const char* mount;
};

// The directories of this process's group and of its parents, the group itself first. Inside a
// container the path may be one that only the host sees: then its last parent, the mounted root, is
// the container's own group. The limits of all hold.
std::vector<std::string> GroupDirectories(const GroupHierarchy& hierarchy,
                                          const std::string& root) {
  std::string group;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // such as "4:cpu,cpuacct:/user/job"
    const size_t names = line.find(':') + 1;
    const size_t path = line.find(':', names) + 1;
    if (names == 0 || path == 0) continue;
    std::istringstream controllers(line.substr(names, path - 1 - names));
    bool found = hierarchy.controller.empty() && path == names + 1;
    for (std::string name; std::getline(controllers, name, ',');) {
      found = found || (!name.empty() && name == hierarchy.controller);
    }
    if (found) group = line.substr(path);
  }
  std::vector<std::string> directories;
  while (!group.empty()) {
    if (group != "/") directories.push_back(root + hierarchy.mount + group);
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
  directories.push_back(root + hierarchy.mount);
  return directories;
}

// The names of the files that limit memory, which differ between the versions of the interface.
struct MemoryController {
  GroupHierarchy hierarchy;
  const char* limit;
  const char* usage;
  const char* reclaimable;  // in memory.stat: pages of files, which make way for others
};
constexpr MemoryController kMemoryControllers[] = {
    {{"", "/sys/fs/cgroup"}, "memory.max", "memory.current", "inactive_file"},
    {{"memory", "/sys/fs/cgroup/memory"},
     "memory.limit_in_bytes",
     "memory.usage_in_bytes",
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

// Takes over a quota of `time` in each `period` if it is less than what `limit` has.
void TakeQuota(std::optional<int64_t> time, std::optional<int64_t> period, const std::string& file,
               ProcessorLimit* limit) {
  if (!time || !period || *time <= 0 || *period <= 0) return;  // -1 in version 1: none
  const double quota = static_cast<double>(*time) / static_cast<double>(*period);
  if (limit->quota && *limit->quota <= quota) return;
  limit->quota = quota;
  limit->quota_file = file;
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

int ProcessorLimit::processors() const {
  if (!quota) return affinity;
  return std::max(1, static_cast<int>(std::min<double>(std::ceil(*quota), affinity)));
}

ProcessorLimit GetProcessorLimit(const std::string& root) {
  ProcessorLimit limit;
  limit.affinity = ProcessorsOfAffinity();
  for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    for (const std::string& directory : GroupDirectories({"", mount}, root)) {
      const std::string path = directory + "/cpu.max";  // such as "150000 100000" or "max 100000"
      std::ifstream file(path);
      int64_t time = 0;
      int64_t period = 0;
      if (file >> time >> period) TakeQuota(time, period, path, &limit);
    }
  }
  for (const char* mount : {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"}) {
    for (const std::string& directory : GroupDirectories({"cpu", mount}, root)) {
      const std::string path = directory + "/cpu.cfs_quota_us";
      TakeQuota(ReadNumber(path), ReadNumber(directory + "/cpu.cfs_period_us"), path, &limit);
    }
  }
  return limit;
}

int AvailableProcessors() { return GetProcessorLimit().processors(); }

int64_t AvailableMemoryBytes(const std::string& root) {
  const std::optional<int64_t> kilobytes = ReadField(root + "/proc/meminfo", "MemAvailable:");
  int64_t available = kilobytes ? *kilobytes * 1024 : PhysicalMemoryBytes();
  for (const MemoryController& controller : kMemoryControllers) {
    for (const std::string& directory : GroupDirectories(controller.hierarchy, root)) {
      const auto room = RoomOfGroup(controller, directory);
      if (room) available = std::min(available, *room);
    }
  }
  return std::max<int64_t>(0, available);
}

}  // namespace blockformer
