#ifndef BLOCKFORMER_TRAIN_LOOP_TRAINER_H_
#define BLOCKFORMER_TRAIN_LOOP_TRAINER_H_

#include <string>

#include "config/train_recipe.h"
#include "train/processes/distributed.h"

namespace blockformer::train {

struct TrainOptions {
  std::string command;   // how the program was started, for the model card
  bool restart = false;  // begin anew; an earlier run's output is renamed, not removed
};

// Trains a model as the recipe says, together with the other processes of `rank`, and leaves in the
// output directory what CheckpointStore describes and metrics.jsonl. Continues from the newest
// checkpoint there that can be read, bit for bit at the same numbers of threads and processes. A
// stop signal saves a checkpoint and throws Error(kInterrupted).
void Train(const TrainRecipe& recipe, const TrainOptions& options, const ProcessRank& rank);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_TRAINER_H_
