#include "kernels/isa.h"

#include <hwy/highway.h>

#include <algorithm>
#include <cstdlib>
#include <dnnl.hpp>
#include <string>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr Isa kAll[] = {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kVnni};

bool Supports(Isa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::kPortable:
      return true;
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::kAvx512:
      return Supports(Isa::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    case Isa::kVnni:
      return Supports(Isa::kAvx512) && __builtin_cpu_supports("avx512vnni");
  }
#endif
  return isa == Isa::kPortable;
}

Isa& Active() {
  static Isa active = SupportedIsas().back();
  return active;
}

// Highway's targets above the instruction set.
int64_t TooGood([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kPortable) return HWY_AVX3_DL | HWY_AVX3 | HWY_AVX2;
  if (isa == Isa::kAvx2) return HWY_AVX3_DL | HWY_AVX3;
#endif
  return 0;
}

void LimitOneDnn(Isa isa) {
  const dnnl::cpu_isa limits[] = {dnnl::cpu_isa::sse41, dnnl::cpu_isa::avx2,
                                  dnnl::cpu_isa::avx512_core, dnnl::cpu_isa::all};
  // Refused once oneDNN has made a choice of its own, which then stands.
  dnnl::set_max_cpu_isa(limits[static_cast<int>(isa)]);
}

}  // namespace

const char* IsaName(Isa isa) {
  const char* names[] = {"portable", "avx2", "avx512", "vnni"};
  return names[static_cast<int>(isa)];
}

std::vector<Isa> SupportedIsas() {
  std::vector<Isa> supported;
  std::copy_if(std::begin(kAll), std::end(kAll), std::back_inserter(supported), Supports);
  return supported;
}

void SetIsa(Isa isa) {
  Active() = isa;
  hwy::DisableTargets(TooGood(isa));
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

void ChooseIsa() {
  const char* wanted = std::getenv("BLOCKFORMER_ISA");
  if (wanted == nullptr) return;
  for (const Isa isa : kAll) {
    if (wanted != std::string(IsaName(isa))) continue;
    Require(Supports(isa), ErrorCode::kInvalidArgument,
            "BLOCKFORMER_ISA: this processor does not have {}; its best is {}", wanted,
            IsaName(SupportedIsas().back()));
    SetIsa(isa);
    return LimitOneDnn(isa);
  }
  Fail(ErrorCode::kInvalidArgument,
       "BLOCKFORMER_ISA: '{}' is not known; portable, avx2, avx512 and vnni are", wanted);
}

Isa ActiveIsa() { return Active(); }

}  // namespace blockformer
