#include "base/isa.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iterator>
#include <string>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "base/error.h"

namespace blockformer {
namespace {

constexpr Isa kAll[] = {Isa::kPortable, Isa::kDotProduct, Isa::kAvx2,
                        Isa::kAvxVnni,  Isa::kAvx512,     Isa::kVnni};

#if defined(__x86_64__)
// Leaf 7, subleaf 1 of CPUID; compilers differ in whether they know the name. Where AVX2 can be
// used, so can it.
bool HasAvxVnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || eax < 1) return false;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> 4 & 1) != 0;
}
#endif

bool Supports(Isa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::kPortable:
      return true;
    case Isa::kDotProduct:
      return false;
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::kAvxVnni:
      return Supports(Isa::kAvx2) && HasAvxVnni();
    case Isa::kAvx512:
      return Supports(Isa::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    case Isa::kVnni:
      return Supports(Isa::kAvx512) && __builtin_cpu_supports("avx512vnni");
  }
#elif defined(__aarch64__)
  if (isa == Isa::kDotProduct) return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
  return isa == Isa::kPortable;
}

Isa BestOfProcessor() { return *std::find_if(std::rbegin(kAll), std::rend(kAll), Supports); }

std::atomic<Isa>& Limit() {
  static std::atomic<Isa> limit = BestOfProcessor();
  return limit;
}

std::atomic<Isa>& Active() {
  static std::atomic<Isa> active = Limit().load();
  return active;
}

// oneDNN reads its variable when it first runs.
void LimitOneDnn(Isa isa) {
  const char* limits[] = {"SSE41", "ALL", "AVX2", "AVX2_VNNI", "AVX512_CORE", "ALL"};
  setenv("ONEDNN_MAX_CPU_ISA", limits[static_cast<int>(isa)], 1);
}

}  // namespace

const char* IsaName(Isa isa) {
  const char* names[] = {"portable", "dotprod", "avx2", "avxvnni", "avx512", "vnni"};
  return names[static_cast<int>(isa)];
}

std::vector<Isa> SupportedIsas() {
  std::vector<Isa> supported;
  for (const Isa isa : kAll) {
    if (isa <= Limit() && Supports(isa)) supported.push_back(isa);
  }
  return supported;
}

void ReadIsaLimit() {
  const char* wanted = std::getenv("BLOCKFORMER_ISA");
  if (wanted == nullptr) return;
  for (const Isa isa : kAll) {
    if (wanted != std::string(IsaName(isa))) continue;
    Require(Supports(isa), ErrorCode::kInvalidArgument,
            "BLOCKFORMER_ISA: this processor does not have {}; its best is {}", wanted,
            IsaName(BestOfProcessor()));
    Limit() = isa;
    SetActiveIsa(isa);
    return LimitOneDnn(isa);
  }
  Fail(ErrorCode::kInvalidArgument,
       "BLOCKFORMER_ISA: '{}' is not known; portable, dotprod, avx2, avxvnni, avx512 and vnni are",
       wanted);
}

Isa ActiveIsa() { return Active(); }

void SetActiveIsa(Isa isa) { Active() = isa; }

}  // namespace blockformer
