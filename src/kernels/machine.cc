#include "kernels/machine.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <dnnl.hpp>
#include <functional>
#include <numeric>
#include <string>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/parallel.h"

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/machine.cc"
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

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(MultiplyAddF32);
HWY_EXPORT(TargetName);
constexpr int64_t kRounds = 4'000'000;
constexpr int kRepetitions = 5;

double SecondsOf(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The best rate of several runs of `work`, which returns its number of operations on one thread.
double BestRate(const std::function<double()>& work) {
  double best = 0;
  for (int i = 0; i < kRepetitions; ++i) {
    std::vector<double> operations(static_cast<size_t>(NumThreads()));
    const double seconds = SecondsOf([&] {
      ParallelFor(NumThreads(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) operations[static_cast<size_t>(t)] = work();
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
// The same with dpbusd, which adds four products to each of sixteen lanes.
__attribute__((target("avx512f,avx512vnni"))) double MultiplyAddInt8(int64_t rounds, int* sink) {
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
  alignas(64) int lanes[16];
  _mm512_store_si512(lanes, total);
  sink[0] = lanes[0];
  return 2.0 * 64 * kChains * static_cast<double>(rounds);
}
#endif

// Products of bytes by oneDNN, on the calling thread alone. Returns their number of operations.
double MultiplyInt8Matrices() {
  constexpr int64_t kSize = 1024;
  constexpr int kProducts = 4;  // or making the primitive would count
  using Type = dnnl::memory::data_type;
  using Tag = dnnl::memory::format_tag;
  const SerialLibraries serial;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const dnnl::matmul::primitive_desc description(
      dnnl::matmul::desc({{kSize, kSize}, Type::u8, Tag::ab}, {{kSize, kSize}, Type::s8, Tag::any},
                         {{kSize, kSize}, Type::s32, Tag::ab}),
      engine);
  dnnl::memory source(description.src_desc(), engine);
  dnnl::memory weights(description.weights_desc(), engine);
  dnnl::memory result(description.dst_desc(), engine);
  const dnnl::matmul product(description);
  dnnl::stream stream(engine);
  for (int i = 0; i < kProducts; ++i) {
    product.execute(stream,
                    {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, result}});
    stream.wait();
  }
  return 2.0 * kProducts * kSize * kSize * kSize;
}

}  // namespace

double MeasureF32Gflops() {
  return BestRate([] { return RunChains<float>(HWY_DYNAMIC_DISPATCH(MultiplyAddF32)); });
}

double MeasureInt8Gops() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vnni")) {
    return BestRate([] { return RunChains<int>(MultiplyAddInt8); });
  }
#endif
  return BestRate(MultiplyInt8Matrices);
}

double MeasureMemoryGbps() {
  constexpr int64_t kBytes = int64_t{1} << 29;
  std::vector<uint64_t> memory(kBytes / sizeof(uint64_t), 1);
  std::vector<uint64_t> sums(static_cast<size_t>(NumThreads()));
  double best = 0;
  for (int i = 0; i < kRepetitions; ++i) {
    const double seconds = SecondsOf([&] {
      ParallelFor(static_cast<int64_t>(memory.size()), 1, [&](int64_t begin, int64_t end) {
        sums[static_cast<size_t>(ThreadIndex())] =
            std::accumulate(memory.begin() + begin, memory.begin() + end, uint64_t{0});
      });
    });
    best = std::max(best, static_cast<double>(kBytes) / seconds);
  }
  return std::accumulate(sums.begin(), sums.end(), uint64_t{0}) > 0 ? best * 1e-9 : 0;
}

std::string HighwayTarget() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

std::string HighwayVersion() { return std::to_string(HWY_MAJOR) + "." + std::to_string(HWY_MINOR); }

std::string OneDnnVersion() {
  const dnnl_version_t* version = dnnl_version();
  return std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

std::string OneDnnIsa() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_core_amx";
    default:
      return "other";
  }
}

}  // namespace blockformer
#endif  // HWY_ONCE
