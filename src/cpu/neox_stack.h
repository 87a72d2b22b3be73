#ifndef BLOCKFORMER_CPU_NEOX_STACK_H_
#define BLOCKFORMER_CPU_NEOX_STACK_H_

#include <functional>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "config/model_config.h"
#include "cpu/kv_cache.h"
#include "cpu/weights.h"
#include "kernels/gemm.h"
#include "kernels/kv_pages.h"
#include "kernels/local_attention.h"
#include "kernels/rotary.h"

namespace blockformer {

// Scratch memory of a stack. Rows are positions of sequences.
struct StackScratch {
  std::vector<float> normed;     // [rows, hidden]
  std::vector<float> qkv;        // [rows, 3 hidden]
  std::vector<float> attention;  // [rows, hidden]
  std::vector<float> inner;      // [rows, intermediate]
};

// What one user of a stack changes while it runs over long sequences: a paged cache and scratch
// memory. Not thread-safe.
struct PagedState {
  PagedState(const TransformerConfig& config, NumberType type, int64_t num_pages, int64_t page_size,
             int64_t num_positions)
      : cache({config.num_layers, config.num_heads, config.HeadSize(), type}, num_pages, page_size),
        rotary(num_positions, config.RotarySize(), config.rotary_base) {}

  KvCache cache;
  RotaryTable rotary;
  StackScratch scratch;
};

// The same for many independent blocks of a few positions.
class LocalState {
 public:
  LocalState(const TransformerConfig& config, int64_t blocks, int64_t positions);

  int64_t blocks() const { return blocks_; }

 private:
  friend class NeoxStack;

  int64_t blocks_;
  AlignedBuffer memory_;
  std::vector<LocalCache> layers_;
  RotaryTable rotary_;
  StackScratch scratch_;
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
  // Afterwards x holds the results of the rows that `wanted` lists, in ascending order, alone: the
  // others stop once the last layer has their keys and values.
  void Forward(const std::vector<AttentionRow>& rows, const std::vector<int64_t>& wanted, float* x,
               PagedState* state) const;

  // The same for positions of blocks: x [blocks, count, hidden], then [blocks, wanted, hidden].
  void Forward(const LocalStep& step, float* x, LocalState* state) const;

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

  // Attention of a layer: qkv [rows, 3 hidden], which it may change -> out, of all rows, or in the
  // last layer of the wanted ones.
  using AttendLayer = std::function<void(int64_t layer, bool last, float* qkv, float* out)>;

  void RunLayers(int64_t rows, const std::vector<int64_t>& wanted, const AttendLayer& attend,
                 float* x, StackScratch* scratch) const;
  void Norm(const NormWeights& weights, const float* x, int64_t rows, float* y) const;

  TransformerConfig config_;
  std::vector<Layer> layers_;
  NormWeights final_norm_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_NEOX_STACK_H_
