#ifndef BLOCKFORMER_BASE_CPU_H_
#define BLOCKFORMER_BASE_CPU_H_

#include <cstdint>
#include <string>
#include <vector>

namespace blockformer {

// What this processor is and can do.
struct CpuInfo {
  std::string model_name;             // as the operating system gives it
  int processors = 0;                 // available to this process
  uint64_t memory_bytes = 0;          // physical memory
  std::vector<std::string> features;  // those that matter for arithmetic, such as "avx512_vnni"
};

CpuInfo GetCpuInfo();

// Memory that this process can still take without others being swapped out: what the system has
// available, or what is left of a control group's limit if that is less. `root` stands before /proc
// and /sys.
int64_t AvailableMemoryBytes(const std::string& root = "");

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_CPU_H_
