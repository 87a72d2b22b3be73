#ifndef BLOCKFORMER_CPU_T5_STACK_H_
#define BLOCKFORMER_CPU_T5_STACK_H_

#include <cstdint>
#include <vector>

#include "base/matrix.h"
#include "config/model_config.h"
#include "cpu/kv_cache.h"
#include "cpu/weights.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"

namespace blockformer {

// What one user of a T5 stack changes while it runs: its caches and its scratch memory. Page i of
// both caches belongs to block i. Not thread-safe.
struct T5State {
  T5State(const T5Config& config, int64_t blocks, int64_t page_size);

  KvCache self_cache;
  KvCache cross_cache;                   // of the vectors that the tokens attend to
  std::vector<AttentionRow> cross_rows;  // where vectors are stored, or what tokens see
  Matrix<float> normed;                  // [rows, hidden]
  Matrix<float> heads;                   // [rows, up to 3 heads * head size]: what is projected
  Matrix<float> attention;               // [rows, heads * head size]
  Matrix<float> inner;                   // [rows, intermediate]
};

// The layers of a T5 decoder (Raffel et al., arXiv 1910.10683) with packed weights. Immutable; safe
// to use from several threads, each with its own state.
class T5Stack {
 public:
  // `length` is the number of positions of a block, and of the vectors that they attend to. Throws
  // Error(kUnsupported) for heads larger than kMaxHeadSize.
  T5Stack(const T5Config& config, int64_t length, const ReadWeights& read);

  // Stores the keys and values of the vectors [blocks * length, hidden], which the tokens attend
  // to, in the pages of their blocks.
  void StoreVectors(MatrixView<const float> vectors, const std::vector<int32_t>& pages,
                    T5State* state) const;

  // Runs the positions in `rows` through all layers: x [rows, hidden], in place. Each attends to
  // the positions before it and to all vectors of its block.
  void Forward(const std::vector<AttentionRow>& rows, MatrixView<float> x, T5State* state) const;

  // The final normalisation of x [rows, hidden], in place.
  void FinalNorm(MatrixView<float> x) const;

 private:
  struct Layer {
    std::vector<float> self_norm;
    PackedLinear qkv;
    PackedLinear self_out;
    std::vector<float> cross_norm;
    PackedLinear query;
    PackedLinear key_value;
    PackedLinear cross_out;
    std::vector<float> mlp_norm;
    PackedLinear up;
    PackedLinear down;
  };

  void AddLayer(int64_t index, const ReadWeights& read);
  void RunLayer(int64_t index, const std::vector<AttentionRow>& rows, MatrixView<float> x,
                T5State* state) const;
  void Norm(const std::vector<float>& gain, MatrixView<const float> x, MatrixView<float> y) const;

  T5Config config_;
  int64_t length_;
  std::vector<Layer> layers_;
  std::vector<float> final_norm_;
  // What self-attention adds to scores, as AttentionRule::bias: [heads, length].
  std::vector<float> position_bias_;
};

// The bucket of a key that lies `distance` >= 0 positions before its query: the first half of the
// buckets hold one distance each, the others grow logarithmically up to max_distance.
int64_t RelativePositionBucket(int64_t distance, int64_t num_buckets, int64_t max_distance);

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_T5_STACK_H_
