#include "base/random.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace blockformer {
namespace {

constexpr uint64_t kGoldenGamma = 0x9e3779b97f4a7c15;

double ToUniform(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

}  // namespace

uint64_t MixBits(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

uint64_t KeyedBits(uint64_t seed, uint64_t stream, uint64_t position) {
  uint64_t bits = MixBits(seed + kGoldenGamma);
  bits = MixBits(bits ^ (stream + kGoldenGamma));
  return MixBits(bits ^ (position + kGoldenGamma));
}

double KeyedUniform(uint64_t seed, uint64_t stream, uint64_t position) {
  return ToUniform(KeyedBits(seed, stream, position));
}

uint64_t Random::Next() { return MixBits(state_ += kGoldenGamma); }

double Random::Uniform() { return ToUniform(Next()); }

uint64_t Random::Below(uint64_t bound) {
  const uint64_t rejected = (0 - bound) % bound;  // 2^64 mod bound
  while (true) {
    const uint64_t bits = Next();
    if (bits >= rejected) return bits % bound;
  }
}

double
Random::Normal() {  // Box-Muller; the second value is not kept, so the state stays one number
  const double radius = std::sqrt(-2.0 * std::log(1.0 - Uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * Uniform());
}

std::vector<int64_t> RandomPermutation(int64_t count, uint64_t seed) {
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), int64_t{0});
  Random random(seed);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  return order;
}

}  // namespace blockformer
