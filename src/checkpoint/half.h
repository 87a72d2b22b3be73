#ifndef BLOCKFORMER_CHECKPOINT_HALF_H_
#define BLOCKFORMER_CHECKPOINT_HALF_H_

#include <cstdint>

namespace blockformer {

// IEEE 754 binary16 to f32, exactly.
float HalfToFloat(uint16_t half);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_HALF_H_
