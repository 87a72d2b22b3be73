#ifndef BLOCKFORMER_ENGINE_TEACHER_FORCING_H_
#define BLOCKFORMER_ENGINE_TEACHER_FORCING_H_

#include <cstdint>
#include <vector>

#include "runner/model.h"

namespace blockformer {

// Teacher-forced evaluation, with the masks of training: no unit sees a masked one, which attends
// to nothing itself unless `masked_units_attend`; no other token of a block sees a masked token.
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

#endif  // BLOCKFORMER_ENGINE_TEACHER_FORCING_H_
