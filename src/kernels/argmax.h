#ifndef BLOCKFORMER_KERNELS_ARGMAX_H_
#define BLOCKFORMER_KERNELS_ARGMAX_H_

#include <cstdint>

namespace blockformer {

// The index of the largest of `count` > 0 values; the first one where several are largest.
int64_t ArgMax(const float* values, int64_t count);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_ARGMAX_H_
