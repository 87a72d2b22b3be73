#ifndef BLOCKFORMER_TRAIN_LOOP_RESUME_H_
#define BLOCKFORMER_TRAIN_LOOP_RESUME_H_

#include <optional>

#include "config/train_recipe.h"
#include "train/loop/checkpoint.h"
#include "train/loop/checkpoint_store.h"
#include "train/loop/training_state.h"

namespace blockformer::train {

// Renames the recipe's output directory, which must exist, so that a run can begin anew in its
// place. If `init_from` lies in it, the recipe is changed to where that then is. Throws Error if
// another process trains there.
void SetRunAside(TrainRecipe* recipe);

// Restores the newest checkpoint of the store that is not damaged, and renames the damaged ones
// behind it. Returns nothing if there is no checkpoint. If none can be read, or the checkpoint was
// trained on other data, throws Error with nothing in the directory changed, rather than let a run
// begin anew unasked.
std::optional<TrainingState> ResumeRun(const TrainRecipe& recipe, const DataFingerprint& data,
                                       const TrainingTensors& tensors, CheckpointStore* store);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_RESUME_H_
