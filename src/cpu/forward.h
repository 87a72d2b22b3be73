#ifndef BLOCKFORMER_CPU_FORWARD_H_
#define BLOCKFORMER_CPU_FORWARD_H_

#include <cstdint>
#include <vector>

#include "cpu/model.h"

namespace blockformer {

// A batch of whole sequences of equal length, whose every token is given.
struct ForwardInput {
  int64_t batch = 0;
  int64_t units = 0;               // a sequence
  std::vector<int32_t> ids;        // [batch, units, L]
  std::vector<uint8_t> mask;       // [batch, units, L]; 0 on padding
  std::vector<uint8_t> unit_mask;  // [batch, units]; 0 on units that are all padding
  // Masked units attend to what they see, as in the published implementation's eager attention,
  // instead of adding nothing, as in the FlashAttention that its models were trained with.
  bool masked_units_attend = false;
  // Rotary position of each unit [batch, units]; empty for 0, 1, 2, ...
  std::vector<int32_t> positions;
};

struct ForwardOutput {
  std::vector<float> embeds;  // [batch, units, hidden]: what the decoder reads
  std::vector<float> hidden;  // [batch, units, hidden]: what it writes, normalised
  // Logits of the units that have a predecessor: [batch, units - 1, L, vocab]; unit i + 1 is
  // predicted from hidden i. For a vanilla model [batch, units, vocab]: entry i predicts token i
  // + 1.
  std::vector<float> logits;
};

// Teacher-forced evaluation, with the masks of training: masked units are seen by none and attend
// to nothing, masked tokens are seen by no other token of their block.
ForwardOutput Forward(const Model& model, const ForwardInput& input);

// Negative log-likelihood in nats over the tokens that are kept: those that are not padding. A
// token is padding if its mask is 0 and it is the padding id, or if its block is masked.
struct LossSums {
  double sum = 0;
  int64_t count = 0;
  std::vector<double> sum_by_position;  // position in the block; one entry for a vanilla model
  std::vector<int64_t> count_by_position;

  double Mean() const { return sum / static_cast<double>(count); }
};

// labels [batch, units, L] holds the id to predict, or a negative number: such a token adds nothing
// to the sum; in a block model it counts as kept if it is not padding.
LossSums ComputeLoss(const Model& model, const ForwardInput& input,
                     const std::vector<int32_t>& labels, const ForwardOutput& output);

// Whether the target at (sequence, unit, position) is kept.
bool IsKept(const Model& model, const ForwardInput& input, int64_t index);

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_FORWARD_H_
