#ifndef BLOCKFORMER_CPU_WEIGHTS_H_
#define BLOCKFORMER_CPU_WEIGHTS_H_

#include <string>
#include <vector>

#include "checkpoint/read_weights.h"
#include "kernels/gemm.h"

namespace blockformer {

// Packs `name`.weight [out, in] and, unless it has none, `name`.bias.
enum class Bias { kPresent, kAbsent };
PackedLinear PackLinear(const ReadWeights& read, const std::string& name, int64_t out, int64_t in,
                        Bias bias = Bias::kPresent);

// Packs int8 weights; an empty bias stands for none. Throws Error(kUnsupported) for more than
// kMaxInt8Inputs inputs.
PackedLinear PackInt8(const Int8Linear& linear, const std::vector<float>& bias);

// Packs several layers [num_heads * head_size, in] as one, whose outputs lie head by head: for each
// head those of the first layer, then of the second, and so on.
PackedLinear PackHeads(const ReadWeights& read, const std::vector<std::string>& names,
                       int64_t num_heads, int64_t head_size, int64_t in,
                       Bias bias = Bias::kPresent);

// Throws Error(kUnsupported) that names `part` if the attention kernels do not take its heads.
void CheckHeadSize(const std::string& part, int64_t head_size);

// The gain and bias of a layer normalisation.
struct NormWeights {
  std::vector<float> gain;
  std::vector<float> bias;
};
NormWeights ReadNorm(const ReadWeights& read, const std::string& name);

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_WEIGHTS_H_
