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
  // Opens it and loads it.
  static EvalModel Load(const std::string& directory, const DeviceOptions& device,
                        SpecialTokens special = SpecialTokens::kParse);

  std::shared_ptr<const Model> model;
  Tokenizer tokenizer;
  int32_t prefix_id;  // stands for no text before a text, see PrefixTokenId()
};

// The same before its weights' numbers are read.
struct OpenedEvalModel {
  // Throws Error that names the file and what is wrong with it, as OpenedModel::Open and
  // Tokenizer::Load do.
  static OpenedEvalModel Open(const std::string& directory, const DeviceOptions& device,
                              SpecialTokens special = SpecialTokens::kParse);

  // Takes the tokenizer. Throws Error as OpenedModel::Load does.
  EvalModel Load() &&;

  OpenedModel model;
  Tokenizer tokenizer;
  int32_t prefix_id;  // as EvalModel has it
};

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_EVAL_MODEL_H_
