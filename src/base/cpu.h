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

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_CPU_H_
