#ifndef BLOCKFORMER_CPU_OUTPUT_HEAD_H_
#define BLOCKFORMER_CPU_OUTPUT_HEAD_H_

#include <cstdint>
#include <span>
#include <utility>

#include "base/matrix.h"
#include "cpu/sampler.h"
#include "kernels/gemm.h"
#include "runner/sampling.h"
#include "runner/score.h"

namespace blockformer {

// The vocabulary layer, and the choice of the next token from it. Logits of a row are written to
// memory as a whole only where a filter or log-probabilities need all of them. What it says of a
// row depends on the row alone, bit for bit. Immutable; safe to use from several threads.
class OutputHead {
 public:
  explicit OutputHead(PackedLinear linear) : linear_(std::move(linear)) {}

  int64_t in() const { return linear_.in(); }  // width of what it reads

  // The next token of each row of hidden [draws, width], which is normalised: the one that
  // SampleToken would choose from the row's logits. A row with a logit that is not a finite number
  // gets kNoToken, and changes nothing for the others. `rated` [draws] is filled for those that
  // want log-probabilities and get a token; it may be empty if none does.
  void Choose(MatrixView<const float> hidden, std::span<const TokenDraw> draws,
              const TokenFilter& ids, std::span<int32_t> chosen,
              std::span<TokenLogProbabilities> rated = {}) const;

  // Rates one given token for each row of hidden [targets, width], which is normalised, and the
  // `top` likeliest tokens. A row with a logit that is not finite gets the log-likelihood NaN.
  void Score(MatrixView<const float> hidden, std::span<const int32_t> targets,
             std::span<TokenScore> scores, int64_t top = 0) const;

  // logits [rows, vocab].
  void ComputeLogits(MatrixView<const float> hidden, MatrixView<float> logits) const {
    linear_.Apply(hidden, Epilogue::kStore, logits);
  }

 private:
  PackedLinear linear_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_OUTPUT_HEAD_H_
