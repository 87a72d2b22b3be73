#ifndef BLOCKFORMER_TRAIN_LOOP_TRAINING_DATA_H_
#define BLOCKFORMER_TRAIN_LOOP_TRAINING_DATA_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "config/train_recipe.h"
#include "text/tokenizer.h"
#include "train/loop/batch_loader.h"
#include "train/loop/checkpoint.h"
#include "train/loop/training_state.h"

namespace blockformer::train {

// The files that a recipe names, opened and checked against the model and each other.
struct TrainingData {
  // Throws Error that names the file or the field of the recipe that does not fit.
  explicit TrainingData(const TrainRecipe& recipe);

  // What must be the same in all processes of a training: the recipe without what concerns one
  // process or machine alone, with the sizes of the files and samples of them in place of their
  // paths.
  Json Describe(const TrainRecipe& recipe) const;

  BatchLoader train;
  DataFingerprint fingerprint;  // of train
  std::optional<BatchLoader> validation;
  std::optional<ValidationSet> validation_set;
  // Tokens to predict for each byte of the validation text, where PREFIX.json tells.
  std::optional<double> validation_tokens_per_byte;
  std::optional<Tokenizer> tokenizer;
  TokenizerFiles tokenizer_files;
  std::vector<int32_t> prompt;  // what text samples continue; empty without a tokenizer
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_TRAINING_DATA_H_
