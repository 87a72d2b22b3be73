#ifndef BLOCKFORMER_TRAIN_LOOP_TRAINING_STATE_H_
#define BLOCKFORMER_TRAIN_LOOP_TRAINING_STATE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "config/train_recipe.h"

namespace blockformer::train {

// What tells one token file from another without reading all of it.
struct DataFingerprint {
  int64_t documents = 0;
  int64_t tokens = 0;
  // A hash of documents spread over the file, in hexadecimal; empty where an earlier version wrote
  // the state.
  std::string sample;

  // A sample that is not known equals any.
  bool IsOf(const DataFingerprint& other) const {
    return documents == other.documents && tokens == other.tokens &&
           (sample.empty() || other.sample.empty() || sample == other.sample);
  }
};

Json ToJson(const DataFingerprint& data);

// What a validation loss is measured on; losses of different sets cannot be compared.
struct ValidationSet {
  DataFingerprint data;
  int64_t samples = 0;

  bool IsOf(const ValidationSet& other) const {
    return samples == other.samples && data.IsOf(other.data);
  }
};

// Where a run stands, beside the tensors: state.json of a checkpoint. The place in the data follows
// from the step.
struct TrainingState {
  int64_t step = 0;  // steps done
  DataFingerprint data;
  std::optional<double> training_loss;    // of the last step
  std::optional<double> validation_loss;  // the last one measured
  // Step of the last validation, 0 before the first; nothing where an earlier version wrote the
  // state.
  std::optional<int64_t> validation_step;
  // Of the losses; nothing without validation, and where an earlier version wrote the state.
  std::optional<ValidationSet> validation_set;
  std::optional<double> best_loss;  // the lowest validation loss
  int64_t best_step = -1;
};

// Sets what the validation losses of a state that was read are compared with from now on. Losses of
// another set are forgotten, and the log says so. Nothing: there is no validation now.
void SetValidationSet(const std::optional<ValidationSet>& now, TrainingState* state);

void WriteTrainingState(const std::string& directory, const TrainingState& state,
                        const TrainRecipe& recipe);

// Reads state.json and checks that `recipe` continues the run that wrote it: the model, the
// packing, the batch size, the seed and the way losses are averaged are the same. All else may
// change, and each change is logged. Throws Error: kCorrupt for a damaged file, kUnsupported
// for one that another version of blockformer wrote with fields or values that this one does not
// know, kInvalidArgument that names the first field that differs.
TrainingState ReadTrainingState(const std::string& directory, const TrainRecipe& recipe);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_TRAINING_STATE_H_
