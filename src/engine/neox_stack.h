#ifndef BLOCKFORMER_ENGINE_NEOX_STACK_H_
#define BLOCKFORMER_ENGINE_NEOX_STACK_H_

#include <string>
#include <vector>

#include "config/model_config.h"
#include "engine/kv_cache.h"
#include "engine/weights.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"
#include "kernels/rotary.h"

namespace blockformer {

// What one user of a stack changes while it runs: its cache and its scratch memory. Not
// thread-safe.
struct StackState {
  StackState(const TransformerConfig& config, int64_t num_pages, int64_t page_size,
             int64_t num_positions)
      : cache({config.num_layers, config.num_heads, config.HeadSize()}, num_pages, page_size),
        rotary(num_positions, config.RotarySize(), config.rotary_base) {}

  KvCache cache;
  RotaryTable rotary;
  std::vector<float> normed;     // [rows, hidden]
  std::vector<float> qkv;        // [rows, 3 hidden]
  std::vector<float> attention;  // [rows, hidden]
  std::vector<float> inner;      // [rows, intermediate]
};

// A stack of GPT-NeoX layers with packed weights: the vanilla decoder, the block decoder, and the
// stack of most token decoders. Immutable; safe to use from several threads, each with its own
// state.
class NeoxStack {
 public:
  // `prefix` is what the names of its parameters begin with. Throws Error(kUnsupported) for heads
  // larger than kMaxHeadSize.
  NeoxStack(const TransformerConfig& config, const std::string& prefix, const ReadWeights& read);

  // Runs the positions in `rows` through all layers: x [rows, hidden], in place. Keys and values of
  // all rows are stored before any row attends, so rows of one sequence may follow each other.
  void Forward(const std::vector<AttentionRow>& rows, float* x, StackState* state) const;

  // The final layer normalisation of x [rows, hidden]; y may be x.
  void FinalNorm(const float* x, int64_t rows, float* y) const;

  const TransformerConfig& config() const { return config_; }

 private:
  struct Layer {
    NormWeights attention_norm;
    NormWeights mlp_norm;
    PackedLinear qkv;
    PackedLinear dense;
    PackedLinear up;
    PackedLinear down;
  };

  void Norm(const NormWeights& weights, const float* x, int64_t rows, float* y) const;

  TransformerConfig config_;
  std::vector<Layer> layers_;
  NormWeights final_norm_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_NEOX_STACK_H_
