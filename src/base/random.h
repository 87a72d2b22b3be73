#ifndef BLOCKFORMER_BASE_RANDOM_H_
#define BLOCKFORMER_BASE_RANDOM_H_

#include <cstdint>
#include <vector>

namespace blockformer {

// A bijective mixing of 64 bits (the finaliser of SplitMix64: Steele, Lea and Flood, 2014).
uint64_t MixBits(uint64_t value);

// 64 random bits that depend on their key alone: the same (seed, stream, position) gives the same
// bits on every machine, whatever was drawn before.
uint64_t KeyedBits(uint64_t seed, uint64_t stream, uint64_t position);

// A uniform number in [0, 1) of 53 of these bits.
double KeyedUniform(uint64_t seed, uint64_t stream, uint64_t position);

// A small sequential generator for shuffles and random weights; equal on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next();                 // 64 random bits
  double Uniform();                // in [0, 1)
  uint64_t Below(uint64_t bound);  // in [0, bound), unbiased; bound > 0
  double Normal();                 // mean 0, standard deviation 1

 private:
  uint64_t state_;
};

// A random order of 0..count-1 (Fisher-Yates), fixed by the seed.
std::vector<int64_t> RandomPermutation(int64_t count, uint64_t seed);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_RANDOM_H_
