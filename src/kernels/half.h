#ifndef BLOCKFORMER_KERNELS_HALF_H_
#define BLOCKFORMER_KERNELS_HALF_H_

#include <cstdint>

namespace blockformer {

// f32 to f16 (IEEE 754 binary16), rounded to nearest even, and back. Numbers too large become
// infinite.
void ToHalves(const float* x, int64_t count, uint16_t* halves);
void FromHalves(const uint16_t* halves, int64_t count, float* x);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_HALF_H_
