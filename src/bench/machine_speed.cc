#include "bench/machine_speed.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/statistics.h"
#include "kernels/peak_speed.h"

namespace blockformer {

MachineSpeed MeasureMachine() {
  return {MeasureF32Gflops(), MeasureInt8Gops(), MeasureMemoryGbps()};
}

MachineSpeed Between(const MachineSpeed& before, const MachineSpeed& after) {
  return {Median({before.f32_gflops, after.f32_gflops}),
          Median({before.int8_gops, after.int8_gops}),
          Median({before.memory_gbps, after.memory_gbps})};
}

double Drift(const MachineSpeed& before, const MachineSpeed& after) {
  return std::max({Spread({before.f32_gflops, after.f32_gflops}),
                   Spread({before.int8_gops, after.int8_gops}),
                   Spread({before.memory_gbps, after.memory_gbps})});
}

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  Require(!file.fail(), ErrorCode::kIo, "/proc/self/statm: cannot be read");
  return resident_pages * sysconf(_SC_PAGESIZE);
}

}  // namespace blockformer
