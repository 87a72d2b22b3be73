#include "engine/text_engine.h"

namespace blockformer {

EngineOptions TextEngineOptions(const Tokenizer& tokenizer) {
  EngineOptions options;
  options.num_sampled_ids = tokenizer.VocabSize();
  options.excluded_ids = tokenizer.MissingIds();
  return options;
}

NumberType DefaultKvType(NumberType weight_type) {
  return weight_type == NumberType::kF32 ? NumberType::kF32 : NumberType::kF16;
}

}  // namespace blockformer
