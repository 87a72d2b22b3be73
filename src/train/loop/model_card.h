#ifndef BLOCKFORMER_TRAIN_LOOP_MODEL_CARD_H_
#define BLOCKFORMER_TRAIN_LOOP_MODEL_CARD_H_

#include <cstdint>
#include <string>

#include "config/train_recipe.h"
#include "train/loop/training_state.h"

namespace blockformer::train {

// The README.md of a checkpoint, in Markdown as Hugging Face shows it: what the model is, what it
// was trained on, its losses, the recipe and the command that made it.
std::string ModelCard(const TrainRecipe& recipe, const TrainingState& state,
                      const std::string& command);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_MODEL_CARD_H_
