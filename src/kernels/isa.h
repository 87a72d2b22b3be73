#ifndef BLOCKFORMER_KERNELS_ISA_H_
#define BLOCKFORMER_KERNELS_ISA_H_

#include <vector>

namespace blockformer {

// The instruction sets that kernels are written for, each including those before it.
enum class Isa {
  kPortable,  // whatever the compiler makes for the oldest processor of the architecture
  kAvx2,
  kAvx512,
  kVnni,  // AVX-512 with products of bytes
};

const char* IsaName(Isa isa);  // "portable", "avx2", "avx512" or "vnni"

// Those that this processor has.
std::vector<Isa> SupportedIsas();

// What kernels use from now on: the best that the processor has, or the one that the environment
// variable BLOCKFORMER_ISA names. oneDNN is limited alike if it has not run yet. Throws
// Error(kInvalidArgument) if the variable names none, or one that the processor lacks. Programs
// call it first; without it the best is used.
void ChooseIsa();

// The same for tests and benchmarks, but for oneDNN. Not while kernels run.
void SetIsa(Isa isa);

Isa ActiveIsa();

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_ISA_H_
