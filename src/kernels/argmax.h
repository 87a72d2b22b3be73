#ifndef BLOCKFORMER_KERNELS_ARGMAX_H_
#define BLOCKFORMER_KERNELS_ARGMAX_H_

#include <cstdint>

namespace blockformer {

// The index of the largest of `count` > 0 values; the first one where several are largest. Values
// must be numbers: with a NaN among them the result is some index in [0, count).
int64_t ArgMax(const float* values, int64_t count);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_ARGMAX_H_
