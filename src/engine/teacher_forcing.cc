#include "engine/teacher_forcing.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"
#include "base/matrix.h"

namespace blockformer {
namespace {

void CheckInput(const Model& model, const ForwardInput& input) {
  const size_t units = input.batch * input.units;
  const size_t tokens = units * model.unit_length();
  Require(input.ids.size() == tokens && input.mask.size() == tokens &&
              input.unit_mask.size() == units &&
              (input.positions.empty() || input.positions.size() == units),
          ErrorCode::kInvalidArgument,
          "the sizes of a forward pass's inputs contradict each other");
  for (const int32_t id : input.ids) {
    Require(id >= 0 && id < model.config().vocab_size, ErrorCode::kInvalidArgument,
            "token id {} is not in [0, {})", id, model.config().vocab_size);
  }
}

double NegativeLogLikelihood(std::span<const float> logits, int32_t label) {
  const float largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - largest));
  return std::log(sum) + largest - logits[label];
}

}  // namespace

ForwardOutput Forward(const Model& model, const ForwardInput& input) {
  CheckInput(model, input);
  return model.MakeRunner({})->Forward(input);
}

bool IsKept(const Model& model, const ForwardInput& input, int64_t index) {
  const size_t i = index;
  const size_t unit = index / model.unit_length();
  const bool padding = input.mask[i] == 0 && input.ids[i] == model.config().pad_token_id;
  return input.unit_mask[unit] != 0 && !padding;
}

LossSums ComputeLoss(const Model& model, const ForwardInput& input,
                     const std::vector<int32_t>& labels, const ForwardOutput& output) {
  const int64_t length = model.unit_length();
  const MatrixView<const float> logits(output.logits, model.config().vocab_size);
  LossSums sums;
  sums.sum_by_position.resize(length);
  sums.count_by_position.resize(length);
  for (int64_t b = 0; b < input.batch; ++b) {
    for (int64_t t = length; t < input.units * length; ++t) {
      const int64_t index = b * input.units * length + t;
      const int32_t label = labels[index];
      const bool counts = model.is_block() ? IsKept(model, input, index) : label >= 0;
      if (!counts) continue;
      const size_t position = t % length;
      sums.count += 1;
      sums.count_by_position[position] += 1;
      if (label < 0) continue;
      // Both kinds skip what precedes the first target, and a vanilla model's last entry as well.
      const int64_t row =
          model.is_block() ? b * (input.units - 1) * length + t - length : index - 1;
      const double loss = NegativeLogLikelihood(logits.Row(row), label);
      sums.sum += loss;
      sums.sum_by_position[position] += loss;
    }
  }
  return sums;
}

}  // namespace blockformer
