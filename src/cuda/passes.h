#ifndef BLOCKFORMER_CUDA_PASSES_H_
#define BLOCKFORMER_CUDA_PASSES_H_

#include <cstdint>
#include <vector>

#include "cuda/stack.h"

// The parts of a model's way from ids to logits, each queued on a stream, and the memory that they
// take. Sizes are fixed at construction, since graphs keep addresses.
namespace blockformer::cuda {

// Where keys and values of the decoder lie, and how sequences find them.
struct DecoderState {
  KvCache cache;
  RotaryAngles rotary;
  PageTables tables;
};

// The embedder and the decoder over up to `rows` rows.
class DecoderPass {
 public:
  DecoderPass() = default;
  DecoderPass(const ModelWeights& weights, int64_t rows);

  // Embeds units: x() [rows, width].
  void Embed(Stream* stream, const UnitIds& ids, int64_t rows);
  // Runs x() through the decoder. Returns where the wanted rows' results lie, before the final
  // norm.
  const float* Run(Stream* stream, const DecoderState& state, const DecoderRow* rows,
                   int64_t num_rows, const WantedRows& wanted);

  float* x() const { return x_.data(); }
  int64_t rows() const { return activations_.rows; }

 private:
  const ModelWeights* weights_ = nullptr;
  Activations activations_;
  Array<float> x_;
  Buffer pooled_;  // what a convolution reads
};

// The token decoder over up to `blocks` blocks, of which up to `count` positions run at once.
class TokenPass {
 public:
  TokenPass() = default;
  TokenPass(const ModelWeights& weights, int64_t unit_length, int64_t blocks, int64_t count);

  // Begins blocks from what the decoder wrote for them [blocks, width], before its final norm.
  void Begin(Stream* stream, const float* decoded, int64_t blocks);
  // Runs positions of the blocks that were begun; step.positions need not be set. Tokens behind the
  // lead are those of `ids`. Returns what the wanted positions' results are, before the final norm.
  const float* Run(Stream* stream, BlockStep step, const UnitIds& ids);

  int64_t blocks() const { return blocks_; }
  int64_t positions() const { return positions_; }

 private:
  const ModelWeights* weights_ = nullptr;
  int64_t blocks_ = 0;
  int64_t positions_ = 0;  // of a block
  Activations activations_;
  RotaryAngles rotary_;
  std::vector<Buffer> caches_;  // by layer
  Buffer contexts_;             // [blocks, decoder width]
  Array<int32_t> repeated_;     // [blocks * vectors]: the context of each, without an expansion
  Array<float> vectors_;        // [blocks, vectors, width]
  Array<float> x_;
};

// The output head over up to `rows` rows.
class HeadPass {
 public:
  HeadPass() = default;
  HeadPass(const ModelWeights& weights, int64_t rows, bool chooses);

  // logits() [rows, vocab] from hidden states [rows, width] before the final norm of `stack`.
  void Run(Stream* stream, const float* x, int64_t rows);

  float* logits() const { return logits_.data(); }
  float* changed() const { return changed_.data(); }   // [rows, vocab], if it chooses
  uint32_t* counts() const { return counts_.data(); }  // likewise; 0
  int64_t rows() const { return rows_; }
  int64_t width() const { return stack_->width; }

 private:
  const ModelWeights* weights_ = nullptr;
  const StackWeights* stack_ = nullptr;  // that it stands behind
  int64_t rows_ = 0;
  Buffer hidden_;
  Array<float> logits_;
  Array<float> changed_;
  Array<uint32_t> counts_;
};

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_PASSES_H_
