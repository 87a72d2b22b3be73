#ifndef BLOCKFORMER_TRAIN_LOOP_RESUME_H_
#define BLOCKFORMER_TRAIN_LOOP_RESUME_H_

#include <optional>

#include "config/train_recipe.h"
#include "train/loop/checkpoint.h"
#include "train/loop/checkpoint_store.h"
#include "train/loop/training_state.h"

namespace blockformer::train {

// Renames the recipe's output, which is there, so that a run can begin anew in its place. Where
// `init_from` lies in it, the recipe names it where it then is. Throws Error if another process
// trains there.
void SetRunAside(TrainRecipe* recipe);

// Restores the newest checkpoint of the store, or if that is damaged the one before it, and renames
// those behind it. Nothing if there is no checkpoint. Throws Error, with nothing in the directory
// changed, where none can be read, rather than let a run begin anew unasked; and for one that was
// trained on other data.
std::optional<TrainingState> ResumeRun(const TrainRecipe& recipe, const DataFingerprint& data,
                                       const TrainingTensors& tensors, CheckpointStore* store);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_RESUME_H_
