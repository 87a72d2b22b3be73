#ifndef BLOCKFORMER_BASE_ROTARY_ANGLE_H_
#define BLOCKFORMER_BASE_ROTARY_ANGLE_H_

#include <cstdint>
#include <vector>

namespace blockformer {

// The angles of rotary position embeddings (Su et al., arXiv 2104.09864): the "f32 rule", by which
// the engine and the trainer agree bit for bit at every position. It is that of Hugging Face's
// GPT-NeoX, whose exponents, frequencies and angles are f32: at position 1,000,000 an angle in f64
// would differ by 0.03. Powers, cosines and sines are computed in f64 and rounded once, so that
// they do not depend on the processor's or a library's f32 functions.

// How frequencies are changed for contexts longer than those that a model was first trained for, as
// Hugging Face's configurations say it.
enum class RotaryScalingType {
  kDefault,  // not at all
  kLinear,   // divided by `factor`
  kLlama3,   // low ones divided by `factor`, high ones kept, those between mixed (Llama 3.1)
  kYarn,     // the same by the number of turns within the original context, and angles' cosines
             // and sines multiplied by `attention_factor` (Peng et al., arXiv 2309.00071)
};

struct RotaryScaling {
  RotaryScalingType type = RotaryScalingType::kDefault;
  double factor = 1;
  int64_t original_positions = 0;  // the original context; of kLlama3 and kYarn
  double low_freq_factor = 1;      // kLlama3: turns within the original context, below which
                                   // frequencies are divided,
  double high_freq_factor = 4;     // and above which they are kept
  double beta_fast = 32;           // kYarn: turns from which on frequencies are kept,
  double beta_slow = 1;            // and up to which they are divided
  bool truncate = true;            // kYarn: the bounds are whole dimensions
  double attention_factor = 1;     // kYarn
  bool operator==(const RotaryScaling&) const = default;
};

// The rotation of a head's first `size` dimensions, in the half-split pairing of GPT-NeoX and
// Llama: dimension i turns with i + size / 2.
struct RotaryRule {
  int64_t size = 0;  // even
  double base = 10000;
  RotaryScaling scaling = {};
};

// How far each dimension pair turns with each position, [size / 2]: base^(-2 pair / size), scaled.
std::vector<float> RotaryFrequencies(const RotaryRule& rule);

// Cosine and sine of the angle position * frequency, times the rule's attention factor.
struct Rotation {
  float cosine;
  float sine;
};
Rotation RotaryRotation(int64_t position, float frequency, double attention_factor = 1);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_ROTARY_ANGLE_H_
