#ifndef BLOCKFORMER_KERNELS_KERNEL_ISA_H_
#define BLOCKFORMER_KERNELS_KERNEL_ISA_H_

#include "base/isa.h"

namespace blockformer {

// Limits kernels, Highway's among them, to what BLOCKFORMER_ISA names. Throws as
// ReadIsaLimit() does. Programs call it first; without it the best is used.
void ChooseIsa();

// Sets what kernels use from now on, for tests and benchmarks; layers that are packed already stay
// as they are. Not while kernels run.
void SetKernelIsa(Isa isa);

// Makes kernels use another instruction set while it lives. Not while kernels run.
class ScopedIsa {
 public:
  explicit ScopedIsa(Isa isa) : before_(ActiveIsa()) { SetKernelIsa(isa); }
  ~ScopedIsa() { SetKernelIsa(before_); }
  ScopedIsa(const ScopedIsa&) = delete;
  ScopedIsa& operator=(const ScopedIsa&) = delete;

 private:
  Isa before_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_KERNEL_ISA_H_
