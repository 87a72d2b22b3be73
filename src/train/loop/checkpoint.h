#ifndef BLOCKFORMER_TRAIN_LOOP_CHECKPOINT_H_
#define BLOCKFORMER_TRAIN_LOOP_CHECKPOINT_H_

#include <string>

#include "config/train_recipe.h"
#include "train/loop/checkpoint_store.h"
#include "train/loop/optimizer.h"
#include "train/loop/training_state.h"
#include "train/model/language_model.h"

namespace blockformer::train {

// The files that Tokenizer::Load(path) reads, by the names under which it finds them in a model
// directory, and those beside them that say how it is used; an empty path gives none.
TokenizerFiles ReadTokenizerFiles(const std::string& path);

// All tensors that a run needs to continue: parameters and moments. What is random follows from the
// seed and the step.
struct TrainingTensors {
  LanguageModel& model;
  AdamW& optimizer;
};

// Fills an existing directory with a complete model directory and the state to continue from:
// optimizer.safetensors and state.json. `command` goes into the model card.
void WriteCheckpoint(const std::string& directory, const TrainingTensors& tensors,
                     const TrainingState& state, const TrainRecipe& recipe,
                     const TokenizerFiles& tokenizer, const std::string& command);

// Writes state.json and the model card of such a directory anew.
void WriteCheckpointState(const std::string& directory, const TrainingState& state,
                          const TrainRecipe& recipe, const std::string& command);

// Restores what WriteCheckpoint wrote. Throws Error as ReadTrainingState, LoadWeights and
// ReadTensors do; the tensors may be half filled then.
TrainingState ReadCheckpoint(const std::string& directory, const TrainRecipe& recipe,
                             const TrainingTensors& tensors);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_CHECKPOINT_H_
