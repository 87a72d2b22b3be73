#ifndef BLOCKFORMER_CHECKPOINT_QUANTIZE_H_
#define BLOCKFORMER_CHECKPOINT_QUANTIZE_H_

#include <cstdint>
#include <vector>

namespace blockformer {

// A linear layer's weights in int8, symmetric, with a scale for each output and a divisor for each
// input: weight [o, i] = values [o, i] * scales [o] / input_scales [i]. Inputs are divided by
// theirs before they are quantised.
struct Int8Linear {
  int64_t out = 0;
  int64_t in = 0;
  std::vector<int8_t> values;       // [out, in], each in [-127, 127]
  std::vector<float> scales;        // [out]
  std::vector<float> input_scales;  // [in]
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_QUANTIZE_H_
