#ifndef BLOCKFORMER_CPU_OUTPUT_HEAD_H_
#define BLOCKFORMER_CPU_OUTPUT_HEAD_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "cpu/sampler.h"
#include "kernels/gemm.h"
#include "runner/sampling.h"
#include "runner/score.h"

namespace blockformer {

// The vocabulary layer, and the choice of the next token from it. Logits are never written to
// memory as a whole: each thread keeps of its tiles what the choice needs. Immutable; safe to use
// from several threads.
class OutputHead {
 public:
  explicit OutputHead(PackedLinear linear) : linear_(std::move(linear)) {}

  int64_t in() const { return linear_.in(); }  // width of what it reads

  // The next token of each row of hidden [draws, width], which is normalised: the one that
  // SampleToken would choose from the row's logits. With int8 weights these depend on the row
  // alone; in f32 the number of rows may change their last bits. A row with a logit that is not a
  // finite number gets kNoToken, and changes nothing for the others.
  void Choose(const float* hidden, std::span<const TokenDraw> draws, const SampledIds& ids,
              int32_t* chosen) const;

  // How the model rates one given token a row of hidden [targets, width]. Rows as above.
  void Score(const float* hidden, std::span<const int32_t> targets, TokenScore* scores) const;

  // How likely the model finds one given token of a row hidden [width], and its `top` likeliest
  // ones; NaN if a logit is not finite.
  TokenLogProbabilities Rate(const float* hidden, int32_t token, int64_t top) const;

  // logits [rows, vocab].
  void ComputeLogits(const float* hidden, int64_t rows, float* logits) const {
    linear_.Apply(hidden, rows, Epilogue::kStore, logits);
  }

 private:
  // Computes all logits of the rows in `rows` and draws from them.
  void ChooseFromAll(const float* hidden, const std::vector<int64_t>& rows,
                     std::span<const TokenDraw> draws, const SampledIds& ids,
                     int32_t* chosen) const;

  PackedLinear linear_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_OUTPUT_HEAD_H_
