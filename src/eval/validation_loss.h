#ifndef BLOCKFORMER_EVAL_VALIDATION_LOSS_H_
#define BLOCKFORMER_EVAL_VALIDATION_LOSS_H_

#include <cstdint>
#include <string>

#include "base/work_observer.h"
#include "data/packing.h"
#include "data/token_file.h"
#include "engine/teacher_forcing.h"

namespace blockformer {

// The samples of a token file on which the trainer's validation measures a model: documents packed
// with the padding of its configuration, each with its end of text (`data.packing: corrected`, in
// whichever way the model was trained), and `count` samples of its context spread evenly over them.
// Keeps a reference to the token file.
class ValidationSamples {
 public:
  // At most `limit` samples. `model` is the model's directory. Throws Error(kInvalidArgument) if
  // the tokens do not fill one sample, if it holds nothing to predict, or as CheckVocabulary does
  // with the directory's tokenizer, if it has one.
  ValidationSamples(const TokenFile& tokens, const ModelConfig& config, const std::string& model,
                    int64_t limit);

  int64_t count() const { return count_; }

  // The loss over all samples, by position in the block too. The model is one of the
  // configuration's. `observer` knows this as `label`. Throws Error(kInvalidArgument) if there is
  // no token to predict, Error(kCorrupt) for an id that is not in the vocabulary,
  // Error(kInterrupted) when `observer` asks to stop.
  LossSums SumLoss(const Model& model, const std::string& label, WorkObserver* observer) const;

 private:
  PackedSamples samples_;
  std::string prefix_;
  int64_t count_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_VALIDATION_LOSS_H_
