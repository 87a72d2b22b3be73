#ifndef BLOCKFORMER_RUNNER_FORWARD_H_
#define BLOCKFORMER_RUNNER_FORWARD_H_

#include <cstdint>
#include <vector>

namespace blockformer {

// A batch of whole sequences of equal length, whose every token is given (teacher forcing). A unit
// is a block of L tokens, or one token of a vanilla model.
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

}  // namespace blockformer

#endif  // BLOCKFORMER_RUNNER_FORWARD_H_
