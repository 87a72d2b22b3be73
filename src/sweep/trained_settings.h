#ifndef BLOCKFORMER_SWEEP_TRAINED_SETTINGS_H_
#define BLOCKFORMER_SWEEP_TRAINED_SETTINGS_H_

#include "config/json.h"
#include "config/train_recipe.h"

namespace blockformer {

// The recipe's document with every default written out, so that two recipes that do the same have
// equal documents however they are written. `output` is left out; so is `training.flops`, in whose
// place the steps stand.
Json WrittenOut(const TrainRecipe& recipe);

// What is left of that without what changes nothing in what is learnt, and without the number of
// steps to stop after, which may grow.
Json WhatIsLearnt(const TrainRecipe& recipe);

}  // namespace blockformer

#endif  // BLOCKFORMER_SWEEP_TRAINED_SETTINGS_H_
