#include "eval/eval_model.h"

#include <utility>

#include "eval/request_encoder.h"

namespace blockformer {

EvalModel EvalModel::Load(const std::string& directory, const DeviceOptions& device,
                          SpecialTokens special) {
  return OpenedEvalModel::Open(directory, device, special).Load();
}

OpenedEvalModel OpenedEvalModel::Open(const std::string& directory, const DeviceOptions& device,
                                      SpecialTokens special) {
  OpenedModel model = OpenedModel::Open(directory, device);
  Tokenizer tokenizer = Tokenizer::Load(directory, special);
  RequireVocabularyFits(tokenizer, model.config.vocab_size, directory);
  const int32_t prefix_id = PrefixTokenId(directory, tokenizer, model.config);
  return {std::move(model), std::move(tokenizer), prefix_id};
}

EvalModel OpenedEvalModel::Load() && { return {model.Load(), std::move(tokenizer), prefix_id}; }

}  // namespace blockformer
