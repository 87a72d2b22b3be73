#include "cli/sanity_check.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "engine/forward.h"
#include "engine/model.h"
#include "engine/weights.h"
#include "text/tokenizer.h"

namespace blockformer {
namespace {

constexpr char kText[] =
    "The sun rises in the east and sets in the west. In the morning the birds begin to sing, and "
    "the people of the village open their doors and go to work. There is a river near the village, "
    "and on the other side of the river there is a great forest. The children like to play under "
    "the trees when the weather is good, and they come home in the evening.";

}  // namespace

SanityCheck CheckLoss(const std::string& directory, const ModelConfig& config) {
  const Tokenizer tokenizer = Tokenizer::Load(directory);
  Require(tokenizer.VocabSize() <= config.vocab_size, ErrorCode::kInvalidArgument,
          "{}: its tokenizer has {} ids and the model's vocabulary {}", directory,
          tokenizer.VocabSize(), config.vocab_size);
  const Model model(config, WeightsFromDirectory(directory, config));
  std::vector<int32_t> ids = tokenizer.Encode(kText);
  const int64_t length = model.unit_length();
  ForwardInput input;
  input.batch = 1;
  input.units = std::min(static_cast<int64_t>(ids.size()), config.max_length) / length;
  Require(input.units >= 2, ErrorCode::kInvalidArgument,
          "{}: a context of {} tokens and blocks of {} leave nothing to predict", directory,
          config.max_length, length);
  ids.resize(static_cast<size_t>(input.units * length));
  input.ids = ids;
  input.mask.assign(ids.size(), 1);
  input.unit_mask.assign(static_cast<size_t>(input.units), 1);
  const LossSums sums = ComputeLoss(model, input, ids, Forward(model, input));
  Require(std::isfinite(sums.Mean()), ErrorCode::kCorrupt,
          "{}: the model's loss on a short text is infinite or not a number", directory);
  return {sums.Mean(), std::log(static_cast<double>(config.vocab_size)), sums.count};
}

}  // namespace blockformer
