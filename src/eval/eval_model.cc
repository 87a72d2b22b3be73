#include "eval/eval_model.h"

namespace blockformer {

EvalModel EvalModel::Load(const std::string& directory, const DeviceOptions& device,
                          SpecialTokens special) {
  std::shared_ptr<const Model> model = LoadModel(directory, device);
  Tokenizer tokenizer = Tokenizer::Load(directory, special);
  RequireVocabularyFits(tokenizer, model->config().vocab_size, directory);
  return {std::move(model), std::move(tokenizer)};
}

}  // namespace blockformer
