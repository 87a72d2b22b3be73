#ifndef BLOCKFORMER_BASE_ISA_H_
#define BLOCKFORMER_BASE_ISA_H_

#include <vector>

namespace blockformer {

// The instruction sets that arithmetic is written for, in the order of preference.
enum class Isa {
  kPortable,    // the oldest processor of the architecture; on AArch64 it has NEON
  kDotProduct,  // AArch64 with products of bytes
  kAvx2,        // with FMA
  kAvxVnni,     // AVX2 with products of bytes
  kAvx512,
  kVnni,  // AVX-512 with products of bytes
};

const char* IsaName(Isa isa);  // as BLOCKFORMER_ISA has it, such as "avx2"

// Those that this processor has and ReadIsaLimit() allowed.
std::vector<Isa> SupportedIsas();

// Limits the process to the instruction set that the environment variable BLOCKFORMER_ISA names;
// without it nothing changes. oneDNN, which the trainer uses, is limited alike, through its own
// variable, if it has not run yet. Throws Error(kInvalidArgument) if the variable names none, or
// one that the processor lacks. Programs call it first, through ChooseIsa() where they have kernels
// (kernels/kernel_isa.h).
void ReadIsaLimit();

// What is used: the best of SupportedIsas(), or what SetActiveIsa() was told.
Isa ActiveIsa();
void SetActiveIsa(Isa isa);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_ISA_H_
