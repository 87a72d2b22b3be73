#ifndef BLOCKFORMER_CPU_WEIGHTS_H_
#define BLOCKFORMER_CPU_WEIGHTS_H_

#include <span>
#include <string>
#include <vector>

#include "checkpoint/read_weights.h"
#include "kernels/gemm.h"

namespace blockformer {

// Packs `name`.weight [out, in] and, unless it has none, `name`.bias.
enum class Bias { kPresent, kAbsent };
PackedLinear PackLinear(const ReadWeights& read, const std::string& name, int64_t out, int64_t in,
                        Bias bias = Bias::kPresent);

// Packs int8 weights; an empty bias stands for none.
PackedLinear PackInt8(const Int8Linear& linear, const std::vector<float>& bias);

// Packs several layers [num_heads * head_size, in] as one, whose outputs lie head by head: for each
// head those of the first layer, then of the second, and so on.
PackedLinear PackHeads(const ReadWeights& read, const std::vector<std::string>& names,
                       int64_t num_heads, int64_t head_size, int64_t in,
                       Bias bias = Bias::kPresent);

// Throws Error(kUnsupported) that names `part` if the attention kernels do not take its heads.
void CheckHeadSize(const std::string& part, int64_t head_size);

// Packs several parts of a stack that read the same inputs as one linear layer, whose outputs lie
// side by side. Throws Error(kUnsupported) if their int8 weights have different input scales.
struct NamedPart {
  std::string name;
  StackPart part;
};
PackedLinear PackParts(const ReadWeights& read, const std::vector<NamedPart>& parts);

// The gain of a norm, and the bias of a layer normalisation; an RMS norm has none.
struct NormWeights {
  std::vector<float> gain;
  std::vector<float> bias;
};
NormWeights ReadNorm(const ReadWeights& read, const std::string& name, bool has_bias = true);

// Packs an output head that is the table [vocab, width] of embeddings, quantised here if weights
// are int8. `input_rms` are the root mean squares of its inputs; empty if they are unknown.
PackedLinear PackTiedHead(const ReadWeights& read, const std::string& name,
                          const std::vector<float>& table, int64_t width,
                          std::span<const double> input_rms);

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_WEIGHTS_H_
