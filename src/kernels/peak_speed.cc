#include "kernels/peak_speed.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "base/isa.h"
#include "base/parallel.h"
#include "base/stopwatch.h"

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak_speed.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#ifndef BLOCKFORMER_KERNELS_MACHINE_CONSTANTS_
#define BLOCKFORMER_KERNELS_MACHINE_CONSTANTS_
namespace blockformer {
// Enough to hide the latency of two units of four or five cycles.
inline constexpr int kChains = 12;
}  // namespace blockformer
#endif

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Does `rounds` rounds of kChains independent multiply-adds and returns their number of operations.
// The chains begin at different values and end in `sink` [kChains], or the compiler would do one of
// them for all.
double MultiplyAddF32(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> tag;
  const auto factor = hn::Set(tag, 0.999f);
  const auto addend = hn::Set(tag, 0.001f);
  auto a0 = hn::Set(tag, sink[0]), a1 = hn::Set(tag, sink[1]), a2 = hn::Set(tag, sink[2]);
  auto a3 = hn::Set(tag, sink[3]), a4 = hn::Set(tag, sink[4]), a5 = hn::Set(tag, sink[5]);
  auto a6 = hn::Set(tag, sink[6]), a7 = hn::Set(tag, sink[7]), a8 = hn::Set(tag, sink[8]);
  auto a9 = hn::Set(tag, sink[9]), a10 = hn::Set(tag, sink[10]), a11 = hn::Set(tag, sink[11]);
  for (int64_t i = 0; i < rounds; ++i) {
    a0 = hn::MulAdd(a0, factor, addend);
    a1 = hn::MulAdd(a1, factor, addend);
    a2 = hn::MulAdd(a2, factor, addend);
    a3 = hn::MulAdd(a3, factor, addend);
    a4 = hn::MulAdd(a4, factor, addend);
    a5 = hn::MulAdd(a5, factor, addend);
    a6 = hn::MulAdd(a6, factor, addend);
    a7 = hn::MulAdd(a7, factor, addend);
    a8 = hn::MulAdd(a8, factor, addend);
    a9 = hn::MulAdd(a9, factor, addend);
    a10 = hn::MulAdd(a10, factor, addend);
    a11 = hn::MulAdd(a11, factor, addend);
  }
  const auto low = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  const auto high = hn::Add(hn::Add(hn::Add(a6, a7), hn::Add(a8, a9)), hn::Add(a10, a11));
  sink[0] = hn::GetLane(hn::Add(low, high));  // every lane holds the same
  return 2.0 * kChains * static_cast<double>(hn::Lanes(tag)) * static_cast<double>(rounds);
}

// The same with products of 16-bit numbers, pairs of which are added to each of the sums.
double MultiplyAddI16(int64_t rounds, int* sink) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < rounds; ++i) {
    for (int c = 0; c < kChains; ++c) sink[c] += static_cast<int16_t>(sink[c]) * 3;
  }
  return 2.0 * kChains * static_cast<double>(rounds);
#else
  const hn::ScalableTag<int32_t> tag;
  const hn::Repartition<int16_t, decltype(tag)> halves;
  const auto factor = hn::Set(halves, 3);
  hn::Vec<decltype(tag)> sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = hn::Set(tag, sink[c]);
  auto rest = hn::Zero(tag);
  for (int64_t i = 0; i < rounds; ++i) {
    for (int c = 0; c < kChains; ++c) {
      const auto value = hn::BitCast(halves, sums[c]);
      sums[c] = hn::ReorderWidenMulAccumulate(tag, value, factor, sums[c], rest);
    }
  }
  auto total = rest;
  for (const auto& sum : sums) total = hn::Add(total, sum);
  sink[0] = hn::GetLane(total);
  return 2.0 * 2 * kChains * static_cast<double>(hn::Lanes(tag)) * static_cast<double>(rounds);
#endif
}

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(MultiplyAddF32);
HWY_EXPORT(MultiplyAddI16);
HWY_EXPORT(TargetName);
constexpr int64_t kRounds = 4'000'000;
constexpr int kRepetitions = 5;

double SecondsOf(const std::function<void()>& work) {
  const Stopwatch watch;
  work();
  return watch.Seconds();
}

// The best rate of several runs of `work`, which returns its number of operations on one thread.
double BestRate(const std::function<double()>& work) {
  double best = 0;
  for (int i = 0; i < kRepetitions; ++i) {
    std::vector<double> operations(NumThreads());
    const double seconds = SecondsOf([&] {
      ParallelFor(NumThreads(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) operations[t] = work();
      });
    });
    best = std::max(best, std::accumulate(operations.begin(), operations.end(), 0.0) / seconds);
  }
  return best * 1e-9;
}

// Runs `chains` from values that the compiler cannot know, and uses what they end with.
template <typename Number>
double RunChains(double (*chains)(int64_t rounds, Number* sink)) {
  volatile Number start = 1;
  Number sink[kChains];
  for (int c = 0; c < kChains; ++c) sink[c] = start + static_cast<Number>(c);
  const double operations = chains(kRounds, sink);
  start = sink[0];
  return operations;
}

#if defined(__x86_64__)

constexpr double kOperations = 2 * kChains;  // of a round, for each byte of a vector

// The same with dpbusd, which adds four products to each of sixteen lanes.
__attribute__((target("avx512f,avx512vnni"))) double MultiplyAddVnni(int64_t rounds, int* sink) {
  const __m512i a = _mm512_set1_epi8(3);
  const __m512i b = _mm512_set1_epi8(1);
  __m512i sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = _mm512_set1_epi32(sink[c]);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sums[c] = _mm512_dpbusd_epi32(sums[c], a, b);
  }
  __m512i total = _mm512_setzero_si512();
  for (const __m512i& sum : sums) total = _mm512_add_epi32(total, sum);
  sink[0] = _mm512_cvtsi512_si32(total);
  return kOperations * 64 * static_cast<double>(rounds);
}

__attribute__((target("avx2,avxvnni"))) double MultiplyAddAvxVnni(int64_t rounds, int* sink) {
  const __m256i a = _mm256_set1_epi8(3);
  const __m256i b = _mm256_set1_epi8(1);
  __m256i sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = _mm256_set1_epi32(sink[c]);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sums[c] = _mm256_dpbusd_avx_epi32(sums[c], a, b);
  }
  __m256i total = _mm256_setzero_si256();
  for (const __m256i& sum : sums) total = _mm256_add_epi32(total, sum);
  sink[0] = _mm256_cvtsi256_si32(total);
  return kOperations * 32 * static_cast<double>(rounds);
}

// Without dpbusd it takes two multiplications and an addition. Each begins with what the one before
// left, or the compiler would multiply once for all.
__attribute__((target("avx512f,avx512bw"))) double MultiplyAddAvx512(int64_t rounds, int* sink) {
  const __m512i ones = _mm512_set1_epi16(1);
  const __m512i b = _mm512_set1_epi8(1);
  __m512i sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = _mm512_set1_epi32(sink[c]);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      const __m512i pairs = _mm512_maddubs_epi16(sums[c], b);
      sums[c] = _mm512_add_epi32(sums[c], _mm512_madd_epi16(pairs, ones));
    }
  }
  __m512i total = _mm512_setzero_si512();
  for (const __m512i& sum : sums) total = _mm512_add_epi32(total, sum);
  sink[0] = _mm512_cvtsi512_si32(total);
  return kOperations * 64 * static_cast<double>(rounds);
}

// As above, into eight sums. In assembler, since g++ would keep some of the sums in memory; what
// the registers hold does not matter.
__attribute__((target("avx2"))) double MultiplyAddAvx2(int64_t rounds, int*) {
  int64_t left = rounds;
  asm volatile(
      "1:\n\t"
      ".irp sum, 0, 1, 2, 3, 4, 5, 6, 7\n\t"
      "vpmaddubsw %%ymm8, %%ymm9, %%ymm10\n\t"
      "vpmaddwd %%ymm11, %%ymm10, %%ymm10\n\t"
      "vpaddd %%ymm10, %%ymm\\sum, %%ymm\\sum\n\t"
      ".endr\n\t"
      "dec %0\n\t"
      "jnz 1b"
      : "+r"(left)
      :
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
        "xmm10", "xmm11");
  return 2.0 * 8 * 32 * static_cast<double>(rounds);
}

#elif defined(__aarch64__)

__attribute__((target("arch=armv8.2-a+dotprod"))) double MultiplyAddDotProduct(int64_t rounds,
                                                                               int* sink) {
  const int8x16_t a = vdupq_n_s8(3);
  const int8x16_t b = vdupq_n_s8(1);
  int32x4_t sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = vdupq_n_s32(sink[c]);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sums[c] = vdotq_s32(sums[c], a, b);
  }
  int32x4_t total = vdupq_n_s32(0);
  for (const int32x4_t& sum : sums) total = vaddq_s32(total, sum);
  sink[0] = vgetq_lane_s32(total, 0);
  return 2.0 * 16 * kChains * static_cast<double>(rounds);
}

#endif

}  // namespace

double MeasureF32Gflops() {
  return BestRate([] { return RunChains<float>(HWY_DYNAMIC_DISPATCH(MultiplyAddF32)); });
}

double MeasureInt8Gops() {
#if defined(__x86_64__)
  switch (ActiveIsa()) {
    case Isa::kVnni:
      return BestRate([] { return RunChains<int>(MultiplyAddVnni); });
    case Isa::kAvx512:
      return BestRate([] { return RunChains<int>(MultiplyAddAvx512); });
    case Isa::kAvxVnni:
      return BestRate([] { return RunChains<int>(MultiplyAddAvxVnni); });
    case Isa::kAvx2:
      return BestRate([] { return RunChains<int>(MultiplyAddAvx2); });
    case Isa::kPortable:
    case Isa::kDotProduct:
      break;
  }
#elif defined(__aarch64__)
  if (ActiveIsa() == Isa::kDotProduct) {
    return BestRate([] { return RunChains<int>(MultiplyAddDotProduct); });
  }
#endif
  return BestRate([] { return RunChains<int>(HWY_DYNAMIC_DISPATCH(MultiplyAddI16)); });
}

double MeasureMemoryGbps() {
  constexpr int64_t kBytes = int64_t{1} << 29;
  std::vector<uint64_t> memory(kBytes / sizeof(uint64_t), 1);
  std::vector<uint64_t> sums(NumThreads());
  double best = 0;
  for (int i = 0; i < kRepetitions; ++i) {
    const double seconds = SecondsOf([&] {
      ParallelFor(static_cast<int64_t>(memory.size()), 1, [&](int64_t begin, int64_t end) {
        sums[ThreadIndex()] =
            std::accumulate(memory.begin() + begin, memory.begin() + end, uint64_t{0});
      });
    });
    best = std::max(best, static_cast<double>(kBytes) / seconds);
  }
  return std::accumulate(sums.begin(), sums.end(), uint64_t{0}) > 0 ? best * 1e-9 : 0;
}

std::string HighwayTarget() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

std::string HighwayVersion() { return std::to_string(HWY_MAJOR) + "." + std::to_string(HWY_MINOR); }

}  // namespace blockformer
#endif  // HWY_ONCE
