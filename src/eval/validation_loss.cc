#include "eval/validation_loss.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/work_observer.h"
#include "data/token_file_info.h"
#include "text/tokenizer.h"
#include "text/tokenizer_paths.h"

namespace blockformer {
namespace {

struct Sample {
  ForwardInput input;
  std::vector<int32_t> labels;
};

Sample ReadSample(const PackedSamples& samples, int64_t index) {
  const auto length = static_cast<size_t>(samples.options().sample_length);
  std::vector<int32_t> mask(length);
  Sample sample;
  sample.labels.resize(length);
  ForwardInput& input = sample.input;
  input.batch = 1;
  input.units = samples.options().sample_length / samples.options().block_length;
  input.ids.resize(length);
  samples.Read(index, input.ids, mask, sample.labels);
  for (const int32_t value : mask) input.mask.push_back(static_cast<uint8_t>(value));
  // No block is padding alone: neither end of a document gets a whole block of it.
  input.unit_mask.assign(input.units, 1);
  return sample;
}

PackingOptions PackingOf(const ModelConfig& config, const std::string& model) {
  // ModelConfig::block_length of a vanilla model is 1.
  Require(config.max_length > config.block_length, ErrorCode::kInvalidArgument,
          "{}: max_length {} holds nothing to predict; more than {} is wanted", model,
          config.max_length, config.block_length);
  return ModelPacking(config, /*published=*/false);
}

// Loads the directory's tokenizer only where the tokens say which one made them.
void RequireOwnTokens(const TokenFile& tokens, const ModelConfig& config,
                      const std::string& model) {
  if (!ReadTokenFileInfo(tokens)) return;
  std::optional<Tokenizer> tokenizer;
  if (!TokenizerPaths(model).empty()) tokenizer = Tokenizer::Load(model);
  CheckVocabulary(tokens, {config.vocab_size, model + ": vocab_size",
                           tokenizer ? &*tokenizer : nullptr, model + ": its tokenizer"});
}

void Add(const LossSums& sums, LossSums* total) {
  total->sum += sums.sum;
  total->count += sums.count;
  total->sum_by_position.resize(sums.sum_by_position.size());
  total->count_by_position.resize(sums.count_by_position.size());
  for (size_t i = 0; i < sums.sum_by_position.size(); ++i) {
    total->sum_by_position[i] += sums.sum_by_position[i];
    total->count_by_position[i] += sums.count_by_position[i];
  }
}

}  // namespace

ValidationSamples::ValidationSamples(const TokenFile& tokens, const ModelConfig& config,
                                     const std::string& model, int64_t limit)
    : samples_(tokens, PackingOf(config, model)),
      prefix_(tokens.prefix()),
      count_(std::min(limit, samples_.NumSamples())) {
  RequireOwnTokens(tokens, config, model);
  Require(count_ > 0, ErrorCode::kInvalidArgument,
          "`data`: the {} tokens of {} do not fill one sample of {}", tokens.NumTokens(), prefix_,
          config.max_length);
}

LossSums ValidationSamples::SumLoss(const Model& model, const std::string& label,
                                    WorkObserver* observer) const {
  observer->Begin(label, count_, "samples", 0);
  LossSums total;
  for (int64_t i = 0; i < count_; ++i) {
    Require(!observer->StopRequested(), ErrorCode::kInterrupted, "stopped after {} of {} samples",
            i, count_);
    const int64_t index = i * samples_.NumSamples() / count_;
    const Sample sample = ReadSample(samples_, index);
    Add(ComputeLoss(model, sample.input, sample.labels, Forward(model, sample.input)), &total);
    Require(std::isfinite(total.sum), ErrorCode::kCorrupt,
            "{}: the model's loss of sample {} is not a finite number; its weights are damaged, or "
            "its training diverged",
            prefix_, index);
    observer->Update(i + 1, "");
  }
  Require(total.count > 0, ErrorCode::kInvalidArgument,
          "`data`: the {} samples of {} hold no token to predict", count_, prefix_);
  return total;
}

}  // namespace blockformer
