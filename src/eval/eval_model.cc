#include "eval/eval_model.h"

namespace blockformer {

EvalModel EvalModel::Load(const std::string& directory, std::optional<NumberType> type,
                          SpecialTokens special) {
  std::shared_ptr<const Model> model = Model::Load(directory, type);
  Tokenizer tokenizer = Tokenizer::Load(directory, special);
  RequireVocabularyFits(tokenizer, model->config().vocab_size, directory);
  return {std::move(model), std::move(tokenizer)};
}

}  // namespace blockformer
