#ifndef BLOCKFORMER_TRAIN_LOOP_LR_SCHEDULE_H_
#define BLOCKFORMER_TRAIN_LOOP_LR_SCHEDULE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "config/train_recipe.h"

namespace blockformer::train {

// The learning rate of a step, counted from 0: linear warm-up whose first step already learns, then
// a cosine from the base rate to min_lr_ratio of it, which it has one step after the last and from
// then on (as transformers' get_cosine_with_min_lr_schedule_with_warmup).
inline double LearningRate(const TrainingRecipe& training, int64_t step) {
  const auto ratio = [](int64_t part, int64_t whole) {
    return static_cast<double>(part) / static_cast<double>(whole);
  };
  if (step < training.warmup_steps) {
    return training.learning_rate * ratio(step + 1, training.warmup_steps);
  }
  const double progress =
      std::min(1.0, ratio(step - training.warmup_steps, training.steps - training.warmup_steps));
  const double cosine = (1 + std::cos(std::numbers::pi * progress)) / 2;
  return training.learning_rate * (training.min_lr_ratio + (1 - training.min_lr_ratio) * cosine);
}

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_LR_SCHEDULE_H_
