#ifndef BLOCKFORMER_BENCH_MACHINE_SPEED_H_
#define BLOCKFORMER_BENCH_MACHINE_SPEED_H_

#include <cstdint>

#include "base/number_type.h"

namespace blockformer {

// What the machine can do at best, in 10^9 operations or bytes a second.
struct MachineSpeed {
  double f32_gflops = 0;
  double int8_gops = 0;
  double memory_gbps = 0;

  // The peak of products with weights of this type. Arithmetic on bf16 counts as f32: processors
  // that have instructions for bf16 may exceed it.
  double Peak(NumberType type) const { return type == NumberType::kInt8 ? int8_gops : f32_gflops; }
};

// Takes seconds, with all threads.
MachineSpeed MeasureMachine();

// The median of two measurements, for figures that are measured in between.
MachineSpeed Between(const MachineSpeed& before, const MachineSpeed& after);

// By what share the larger of two measurements exceeds the smaller, of the figure that differs
// most.
double Drift(const MachineSpeed& before, const MachineSpeed& after);

// Bytes of memory that this process has now.
int64_t ResidentBytes();

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_MACHINE_SPEED_H_
