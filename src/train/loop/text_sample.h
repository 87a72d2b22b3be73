#ifndef BLOCKFORMER_TRAIN_LOOP_TEXT_SAMPLE_H_
#define BLOCKFORMER_TRAIN_LOOP_TEXT_SAMPLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "blockformer/sampling.h"
#include "runner/model.h"
#include "text/tokenizer.h"
#include "train/model/language_model.h"

namespace blockformer::train {

// The model's weights as they are now, in f32, on the engine's processor.
std::shared_ptr<const Model> EngineModel(const LanguageModel& model);

// How a sample of text is drawn.
struct TextSampleOptions {
  int64_t max_tokens = 0;  // fewer where the model's context has no room for them
  SamplingOptions sampling;
  uint64_t stream = 0;
};

// Continues a prompt by the engine, with the weights as they are now. Returns the new text. Throws
// Error, for instance if the prompt leaves no room in the model's context.
std::string SampleText(const LanguageModel& model, const Tokenizer& tokenizer,
                       const std::vector<int32_t>& prompt, const TextSampleOptions& options);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_TEXT_SAMPLE_H_
