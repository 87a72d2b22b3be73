#include "cli/sanity_check.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "devices/devices.h"
#include "engine/teacher_forcing.h"
#include "runner/model.h"
#include "text/tokenizer.h"

namespace blockformer {
namespace {

constexpr int64_t kMinBlocks = 4;

constexpr char kText[] =
    "The sun rises in the east and sets in the west. In the morning the birds begin to sing, and "
    "the people of the village open their doors and go to work. There is a river near the village, "
    "and on the other side of the river there is a great forest. The children like to play under "
    "the trees when the weather is good, and they come home in the evening.";

// The text, again and again where one is not enough for blocks of this length: the first is never
// predicted. Whole blocks that fit into the context.
std::vector<int32_t> CheckedTokens(const Tokenizer& tokenizer, const ModelConfig& config) {
  const std::vector<int32_t> text = tokenizer.Encode(kText);
  Require(!text.empty(), ErrorCode::kCorrupt, "the tokenizer makes no tokens of English text");
  const int64_t length = config.block_length;
  const int64_t wanted =
      std::min(config.max_length, std::max(static_cast<int64_t>(text.size()), kMinBlocks * length));
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < wanted / length * length; ++i) {
    ids.push_back(text[static_cast<size_t>(i) % text.size()]);
  }
  return ids;
}

}  // namespace

SanityCheck CheckLoss(const std::string& directory, const ModelConfig& config) {
  const Tokenizer tokenizer = Tokenizer::Load(directory);
  RequireVocabularyFits(tokenizer, config.vocab_size, directory);
  const std::shared_ptr<const Model> loaded = LoadModel(directory);
  const Model& model = *loaded;
  ForwardInput input;
  input.batch = 1;
  input.ids = CheckedTokens(tokenizer, config);
  input.units = static_cast<int64_t>(input.ids.size()) / model.unit_length();
  input.mask.assign(input.ids.size(), 1);
  input.unit_mask.assign(input.units, 1);
  const LossSums sums = ComputeLoss(model, input, input.ids, Forward(model, input));
  Require(std::isfinite(sums.Mean()), ErrorCode::kCorrupt,
          "{}: the model's loss on a short text is infinite or not a number", directory);
  return {sums.Mean(), std::log(static_cast<double>(config.vocab_size)), sums.count};
}

}  // namespace blockformer
