#include "cpu/forward.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr int64_t kUnitsPerPage = 16;

void CheckInput(const Model& model, const ForwardInput& input) {
  const size_t units = static_cast<size_t>(input.batch * input.units);
  const size_t tokens = units * static_cast<size_t>(model.unit_length());
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

void RunDecoder(const Model& model, const ForwardInput& input, ForwardOutput* output) {
  const StackConfig& config = model.config().decoder;
  const int64_t pages = (input.units + kUnitsPerPage - 1) / kUnitsPerPage;
  int32_t last_position = static_cast<int32_t>(input.units - 1);
  for (const int32_t position : input.positions) last_position = std::max(last_position, position);
  PagedState state(config, NumberType::kF32, input.batch * pages, kUnitsPerPage, last_position + 1);

  std::vector<int32_t> page_lists(static_cast<size_t>(input.batch * pages));
  std::iota(page_lists.begin(), page_lists.end(), 0);
  std::vector<AttentionRow> rows;
  for (int64_t b = 0; b < input.batch; ++b) {
    for (int64_t i = 0; i < input.units; ++i) {
      const size_t index = static_cast<size_t>(b * input.units + i);
      const int64_t position = input.positions.empty() ? i : input.positions[index];
      rows.push_back({page_lists.data() + b * pages, i, position,
                      input.unit_mask.data() + b * input.units, input.masked_units_attend});
    }
  }
  output->hidden = output->embeds;
  std::vector<int64_t> all(rows.size());
  std::iota(all.begin(), all.end(), 0);
  model.decoder().Forward(rows, all, output->hidden.data(), &state);
  model.decoder().FinalNorm(output->hidden.data(), input.batch * input.units,
                            output->hidden.data());
}

void ScoreBlocks(const Model& model, const ForwardInput& input, ForwardOutput* output) {
  const int64_t length = model.unit_length();
  const int64_t width = model.config().decoder.hidden_size;
  const int64_t predicted = input.units - 1;
  std::vector<float> contexts;
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;
  for (int64_t b = 0; b < input.batch; ++b) {
    const auto hidden = output->hidden.begin() + b * input.units * width;
    contexts.insert(contexts.end(), hidden, hidden + predicted * width);
    const int64_t first = (b * input.units + 1) * length;  // the first block is never predicted
    const int64_t end = (b + 1) * input.units * length;
    ids.insert(ids.end(), input.ids.begin() + first, input.ids.begin() + end);
    mask.insert(mask.end(), input.mask.begin() + first, input.mask.begin() + end);
  }
  const int64_t blocks = input.batch * predicted;
  if (blocks == 0) return;
  output->logits.resize(static_cast<size_t>(blocks * length * model.config().vocab_size));
  TokenDecoderState state;
  const float* hidden =
      model.token_decoder().Score(contexts.data(), blocks, ids.data(), mask.data(), &state);
  model.head().ComputeLogits(hidden, blocks * length, output->logits.data());
}

double NegativeLogLikelihood(const float* logits, int64_t count, int32_t label) {
  const float largest = *std::max_element(logits, logits + count);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::exp(static_cast<double>(logits[i] - largest));
  return std::log(sum) + largest - logits[label];
}

}  // namespace

ForwardOutput Forward(const Model& model, const ForwardInput& input) {
  CheckInput(model, input);
  const int64_t rows = input.batch * input.units;
  ForwardOutput output;
  output.embeds.resize(static_cast<size_t>(rows * model.config().decoder.hidden_size));
  EmbedderState embedder_state;
  model.embedder().Embed(input.ids.data(), input.mask.data(), rows, &embedder_state,
                         output.embeds.data());
  RunDecoder(model, input, &output);
  if (model.is_block()) {
    ScoreBlocks(model, input, &output);
  } else {
    output.logits.resize(static_cast<size_t>(rows * model.config().vocab_size));
    model.head().ComputeLogits(output.hidden.data(), rows, output.logits.data());
  }
  return output;
}

bool IsKept(const Model& model, const ForwardInput& input, int64_t index) {
  const size_t i = static_cast<size_t>(index);
  const size_t unit = static_cast<size_t>(index / model.unit_length());
  const bool padding = input.mask[i] == 0 && input.ids[i] == model.config().pad_token_id;
  return input.unit_mask[unit] != 0 && !padding;
}

LossSums ComputeLoss(const Model& model, const ForwardInput& input,
                     const std::vector<int32_t>& labels, const ForwardOutput& output) {
  const int64_t length = model.unit_length();
  const int64_t vocab = model.config().vocab_size;
  LossSums sums;
  sums.sum_by_position.resize(static_cast<size_t>(length));
  sums.count_by_position.resize(static_cast<size_t>(length));
  for (int64_t b = 0; b < input.batch; ++b) {
    for (int64_t t = length; t < input.units * length; ++t) {
      const int64_t index = b * input.units * length + t;
      const int32_t label = labels[static_cast<size_t>(index)];
      const bool counts = model.is_block() ? IsKept(model, input, index) : label >= 0;
      if (!counts) continue;
      const size_t position = static_cast<size_t>(t % length);
      sums.count += 1;
      sums.count_by_position[position] += 1;
      if (label < 0) continue;
      // Both kinds skip what precedes the first target, and a vanilla model's last entry as well.
      const int64_t row =
          model.is_block() ? b * (input.units - 1) * length + t - length : index - 1;
      const double loss = NegativeLogLikelihood(output.logits.data() + row * vocab, vocab, label);
      sums.sum += loss;
      sums.sum_by_position[position] += loss;
    }
  }
  return sums;
}

}  // namespace blockformer
