#include "base/cpu.h"

#include <sched.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>

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

}  // namespace

CpuInfo GetCpuInfo() {
  CpuInfo info;
  info.processors = AvailableProcessors();
  info.memory_bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
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

}  // namespace blockformer
