#ifndef BLOCKFORMER_EVAL_EVAL_MODEL_H_
#define BLOCKFORMER_EVAL_EVAL_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "devices/devices.h"
#include "runner/model.h"
#include "text/tokenizer.h"

namespace blockformer {

// A model directory to evaluate. Immutable.
struct EvalModel {
  // Throws Error that names the file and what is wrong with it, as LoadModel and Tokenizer::Load
  // do.
  static EvalModel Load(const std::string& directory, const DeviceOptions& device,
                        SpecialTokens special = SpecialTokens::kParse);

  int32_t end_of_text() const { return static_cast<int32_t>(model->config().eos_token_id); }

  std::shared_ptr<const Model> model;
  Tokenizer tokenizer;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_EVAL_MODEL_H_
