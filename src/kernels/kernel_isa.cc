#include "kernels/kernel_isa.h"

#include <hwy/highway.h>

namespace blockformer {
namespace {

// Highway's targets above the instruction set.
int64_t TooGood([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kPortable) return HWY_AVX3_DL | HWY_AVX3 | HWY_AVX2;
  if (isa == Isa::kAvx2 || isa == Isa::kAvxVnni) return HWY_AVX3_DL | HWY_AVX3;
#endif
  return 0;
}

}  // namespace

void SetKernelIsa(Isa isa) {
  SetActiveIsa(isa);
  hwy::DisableTargets(TooGood(isa));
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

void ChooseIsa() {
  ReadIsaLimit();
  SetKernelIsa(ActiveIsa());
}

}  // namespace blockformer
