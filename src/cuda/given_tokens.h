#ifndef BLOCKFORMER_CUDA_GIVEN_TOKENS_H_
#define BLOCKFORMER_CUDA_GIVEN_TOKENS_H_

#include <cstdint>
#include <vector>

#include "cuda/cuda_model.h"
#include "cuda/passes.h"
#include "runner/forward.h"
#include "runner/score.h"

namespace blockformer::cuda {

// Passes over tokens that are all given: scores and teacher forcing, with a cache of f32 of their
// own.
class GivenTokens {
 public:
  GivenTokens(const CudaModel& model, Stream* stream);

  std::vector<TokenScore> Score(const ScoreStep& step);
  ForwardOutput Forward(const ForwardInput& input);

 private:
  // Rows that pass through the decoder, and where their sequences' pages and masks lie.
  struct Rows {
    std::vector<DecoderRow> rows;
    std::vector<int32_t> pages;  // [tables, max_pages]
    int64_t max_pages = 0;
    std::vector<uint8_t> unit_mask;  // [tables, mask_stride]
    int64_t mask_stride = 0;
  };

  static Rows RowsOf(const ScoreStep& step);
  static Rows RowsOf(const ForwardInput& input);
  // Makes room in the cache for so many pages, and tables of rotary positions.
  void Reserve(int64_t num_pages, int64_t page_size, int64_t positions);
  // Runs rows of ids [rows, L] through embedder and decoder: what it writes for the wanted rows, in
  // ascending order, goes to decoded [wanted, width], before the final norm. What the embedder
  // writes goes to `embeds` unless that is null.
  void RunDecoder(const Rows& rows, const std::vector<int32_t>& ids,
                  const std::vector<int64_t>& wanted, float* decoded, std::vector<float>* embeds);
  // Runs blocks of given tokens through the token decoder: the results of all L slots, before the
  // final norm, [blocks, L, width].
  const float* RunBlocks(const float* decoded, int64_t blocks, const int32_t* ids,
                         const uint8_t* mask);
  int64_t BlocksAtOnce() const;

  const CudaModel& model_;
  const ModelWeights& weights_;
  Stream* stream_;
  int64_t unit_length_;
  int64_t vocab_;
  DecoderPass decoder_pass_;
  TokenPass token_pass_;
  HeadPass head_pass_;
  DecoderState state_;
  int64_t pages_ = 0;
  int64_t page_size_ = 0;
  int64_t positions_ = 0;
};

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_GIVEN_TOKENS_H_
