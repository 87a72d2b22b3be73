#include "base/isa.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iterator>
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
  const char* limits[] = {"SSE41", "AVX2", "AVX512_CORE", "ALL"};
  setenv("ONEDNN_MAX_CPU_ISA", limits[static_cast<int>(isa)], 1);
}

}  // namespace

const char* IsaName(Isa isa) {
  const char* names[] = {"portable", "avx2", "avx512", "vnni"};
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
       "BLOCKFORMER_ISA: '{}' is not known; portable, avx2, avx512 and vnni are", wanted);
}

Isa ActiveIsa() { return Active(); }

void SetActiveIsa(Isa isa) { Active() = isa; }

}  // namespace blockformer
