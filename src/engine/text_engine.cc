#include "engine/text_engine.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "checkpoint/model_path.h"
#include "devices/devices.h"

namespace blockformer {
namespace {

EngineOptions ToEngineOptions(const GeneratorOptions& options, NumberType kv_type,
                              const Tokenizer& tokenizer) {
  EngineOptions engine = TextEngineOptions(tokenizer);
  engine.max_sequences = options.max_sequences;
  engine.max_length = options.max_length;
  engine.kv_type = kv_type;
  engine.memory_bytes = options.memory_bytes;
  return engine;
}

}  // namespace

EngineOptions TextEngineOptions(const Tokenizer& tokenizer) {
  EngineOptions options;
  options.num_sampled_ids = tokenizer.VocabSize();
  options.excluded_ids = tokenizer.MissingIds();
  return options;
}

NumberType DefaultKvType(NumberType weight_type) {
  return weight_type == NumberType::kF32 ? NumberType::kF32 : NumberType::kF16;
}

TextModel TextModel::Load(const std::string& directory, const GeneratorOptions& options) {
  const auto dtype = ParseNumberTypeOrAuto("`dtype`", options.dtype, kWeightTypes);
  const auto kv_dtype = ParseNumberTypeOrAuto("`kv_dtype`", options.kv_dtype, kKvTypes);
  RequireModelDirectory(directory);  // a tokenizer may be a file
  Tokenizer tokenizer = Tokenizer::Load(
      directory, options.plain_text ? SpecialTokens::kPlainText : SpecialTokens::kParse);
  auto model = LoadModel(directory, {options.device, dtype});
  RequireVocabularyFits(tokenizer, model->config().vocab_size, directory);
  EngineOptions engine =
      ToEngineOptions(options, kv_dtype.value_or(DefaultKvType(model->weight_type())), tokenizer);
  return {std::move(tokenizer), std::move(model), std::move(engine)};
}

int64_t ExcessTokens(int64_t prompt_tokens, int64_t max_tokens, int64_t max_length) {
  const int64_t room = max_length - max_tokens;
  return room < 1 ? 0 : std::max<int64_t>(0, prompt_tokens - room);
}

}  // namespace blockformer
