#ifndef BLOCKFORMER_BASE_CPU_H_
#define BLOCKFORMER_BASE_CPU_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace blockformer {

// What this processor is and can do.
struct CpuInfo {
  std::string model_name;             // as the operating system gives it
  int processors = 0;                 // AvailableProcessors()
  uint64_t memory_bytes = 0;          // physical memory
  std::vector<std::string> features;  // those that matter for arithmetic, such as "avx512_vnni"
};

CpuInfo GetCpuInfo();

// How many processors this process may use, and what says so.
struct ProcessorLimit {
  int affinity = 1;             // processors that its affinity mask allows
  std::optional<double> quota;  // processors' time that control groups allow, if they limit it
  std::string quota_file;       // that says so: the tightest of the process's group and its parents

  int processors() const;  // the smaller of both, the quota rounded up
};

// `root` stands before /proc and /sys.
ProcessorLimit GetProcessorLimit(const std::string& root = "");

// GetProcessorLimit().processors(), 1 or more: the threads that are worth starting.
int AvailableProcessors();

// Memory that this process can still take without others being swapped out: what the system has
// available, or what is left of a control group's limit if that is less. `root` stands before /proc
// and /sys.
int64_t AvailableMemoryBytes(const std::string& root = "");

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_CPU_H_
