#ifndef BLOCKFORMER_TRAIN_KERNELS_ATTENTION_KERNELS_H_
#define BLOCKFORMER_TRAIN_KERNELS_ATTENTION_KERNELS_H_

#include <cstdint>

#include "base/head_layout.h"

namespace blockformer::train {

// Causal attention over fused projections on the CPU, forward and backward. All arrays are
// row-major f32.
struct AttentionProblem {
  int64_t batch = 0;
  int64_t rows = 0;
  HeadLayout layout;
  int64_t rotary_pairs = 0;
  int64_t table_stride = 0;  // from one sequence's rotary table to the next; 0 if they share it
  const float* cosines = nullptr;  // [rows, rotary_pairs]
  const float* sines = nullptr;
  const bool* mask = nullptr;        // [batch, rows], false on padding; null if there is none
  bool zero_padding = true;          // the output of padding queries is 0
  const float* projected = nullptr;  // [batch, rows, layout.width]
  float* output = nullptr;           // [batch, rows, heads, head_size]
  float* log_sums = nullptr;         // [batch, heads, rows]: of the exponentials of scores
};

// Fills output and log_sums. Every query that is not zeroed must see a key.
void AttentionForward(const AttentionProblem& problem);

// Fills input_gradient, shaped as projected, from output_gradient, shaped as output.
void AttentionBackward(const AttentionProblem& problem, const float* output_gradient,
                       float* input_gradient);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_KERNELS_ATTENTION_KERNELS_H_
