#ifndef BLOCKFORMER_CPU_TRANSFORMER_STACK_H_
#define BLOCKFORMER_CPU_TRANSFORMER_STACK_H_

#include <functional>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/matrix.h"
#include "config/model_config.h"
#include "cpu/kv_cache.h"
#include "cpu/weights.h"
#include "kernels/block_attention.h"
#include "kernels/gemm.h"
#include "kernels/kv_pages.h"
#include "kernels/rotary.h"

namespace blockformer {

// Scratch memory of a stack. Rows are positions of sequences.
struct StackScratch {
  Matrix<float> normed;     // [rows, hidden]
  Matrix<float> qkv;        // [rows, HeadLayout::width]
  Matrix<float> attention;  // [rows, heads * head size]
  Matrix<float> inner;      // [rows, intermediate]
  Matrix<float> gated;      // [rows, 2 intermediate]: gates, then what they let through
};

// What one user of a stack changes while it runs over long sequences: a paged cache and scratch
// memory. Not thread-safe.
struct PagedState {
  PagedState(const StackConfig& config, NumberType type, int64_t num_pages, int64_t page_size,
             int64_t num_positions)
      : cache({config.num_layers, config.KvHeads(), config.HeadSize(), type}, num_pages, page_size),
        rotary(num_positions, config.Rotary()) {}

  KvCache cache;
  RotaryTable rotary;
  StackScratch scratch;
};

// The same for a stack that runs over many independent blocks of a few positions.
class BlockState {
 public:
  BlockState(const StackConfig& config, int64_t blocks, int64_t positions);

  int64_t blocks() const { return blocks_; }

 private:
  friend class TransformerStack;

  int64_t blocks_;
  AlignedBuffer memory_;
  std::vector<BlockCache> layers_;
  RotaryTable rotary_;
  StackScratch scratch_;
};

// A stack of decoder layers with packed weights, as its configuration describes them: the vanilla
// decoder, the block decoder, and the stack of most token decoders. Immutable; safe to use from
// several threads, each with its own state.
class TransformerStack {
 public:
  // `names` are those of its parameters. Throws Error(kUnsupported) for heads larger than
  // kMaxHeadSize.
  TransformerStack(const StackConfig& config, const StackNames& names, const ReadWeights& read);

  // Runs the positions in `rows` through all layers: x [rows, hidden], in place. Keys and values of
  // all rows are stored before any row attends, so rows of one sequence may follow each other.
  // Returns the part of x that then holds the results of the rows in `wanted`, which ascends; the
  // other rows end once the last layer has their keys and values.
  MatrixView<float> Forward(const std::vector<AttentionRow>& rows,
                            const std::vector<int64_t>& wanted, MatrixView<float> x,
                            PagedState* state) const;

  // The same for positions of blocks: x [blocks * count, hidden] -> [blocks * wanted, hidden].
  MatrixView<float> Forward(const BlockStep& step, MatrixView<float> x, BlockState* state) const;

  // The final norm of x [rows, hidden], in place.
  void FinalNorm(MatrixView<float> x) const;

  const StackConfig& config() const { return config_; }

 private:
  struct Layer {
    NormWeights attention_norm;
    NormWeights mlp_norm;
    PackedLinear qkv;
    NormWeights query_norm;  // of each head; empty without QK norm
    NormWeights key_norm;
    PackedLinear out;
    PackedLinear up;  // with SwiGLU the gate, then up
    PackedLinear down;
  };

  // Attention of a layer: qkv [rows, HeadLayout::width], which it may change -> out, which has all
  // rows, in the last layer only the wanted ones.
  using AttendLayer =
      std::function<void(int64_t layer, bool last, MatrixView<float> qkv, MatrixView<float> out)>;

  MatrixView<float> RunLayers(const std::vector<int64_t>& wanted, const AttendLayer& attend,
                              MatrixView<float> x, StackScratch* scratch) const;
  Layer ReadLayer(int64_t index, const StackNames& names, const ReadWeights& read) const;
  // Queries, keys and values of a layer: x [rows, hidden] -> scratch->qkv.
  void Project(const Layer& layer, MatrixView<const float> x, StackScratch* scratch) const;
  // The MLP up to its last layer: x [rows, hidden] -> inner [rows, intermediate].
  void RunMlp(const Layer& layer, MatrixView<const float> x, MatrixView<float> inner,
              StackScratch* scratch) const;
  void Norm(const NormWeights& weights, MatrixView<const float> x, MatrixView<float> y) const;

  StackConfig config_;
  HeadLayout layout_;
  std::vector<Layer> layers_;
  NormWeights final_norm_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_TRANSFORMER_STACK_H_
