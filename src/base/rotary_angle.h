#ifndef BLOCKFORMER_BASE_ROTARY_ANGLE_H_
#define BLOCKFORMER_BASE_ROTARY_ANGLE_H_

#include <cstdint>

namespace blockformer {

// The angles of rotary position embeddings (Su et al., arXiv 2104.09864): the "f32 rule", by which
// the engine and the trainer agree bit for bit at every position. It is that of Hugging Face's
// GPT-NeoX, whose exponents, frequencies and angles are f32: at position 1,000,000 an angle in f64
// would differ by 0.03. Powers, cosines and sines are computed in f64 and rounded once, so that
// they do not depend on the processor's or a library's f32 functions.

// How far dimension pair `pair` of `size` rotated dimensions turns with each position:
// base^(-2 pair / size).
float RotaryFrequency(int64_t pair, int64_t size, double base);

// Cosine and sine of the angle position * frequency.
struct Rotation {
  float cosine;
  float sine;
};
Rotation RotaryRotation(int64_t position, float frequency);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_ROTARY_ANGLE_H_
