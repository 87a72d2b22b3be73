#ifndef BLOCKFORMER_BASE_INTEGER_H_
#define BLOCKFORMER_BASE_INTEGER_H_

#include <cstdint>

namespace blockformer {

// The quotient of two numbers, rounded up. `value` is 0 or more, `divisor` 1 or more, and their sum
// no overflow.
constexpr int64_t DivideUp(int64_t value, int64_t divisor) {
  return (value + divisor - 1) / divisor;
}

// The smallest multiple of `step` that is not below `value`.
constexpr int64_t RoundUp(int64_t value, int64_t step) { return DivideUp(value, step) * step; }

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_INTEGER_H_
