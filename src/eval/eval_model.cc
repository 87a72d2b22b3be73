#include "eval/eval_model.h"

#include "eval/request_encoder.h"

namespace blockformer {

EvalModel EvalModel::Load(const std::string& directory, const DeviceOptions& device,
                          SpecialTokens special) {
  std::shared_ptr<const Model> model = LoadModel(directory, device);
  Tokenizer tokenizer = Tokenizer::Load(directory, special);
  RequireVocabularyFits(tokenizer, model->config().vocab_size, directory);
  const int32_t prefix_id = PrefixTokenId(directory, tokenizer, model->config());
  return {std::move(model), std::move(tokenizer), prefix_id};
}

}  // namespace blockformer
