#ifndef BLOCKFORMER_TRAIN_LOOP_VALIDATION_H_
#define BLOCKFORMER_TRAIN_LOOP_VALIDATION_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "train/loop/batch_loader.h"
#include "train/model/language_model.h"
#include "train/processes/distributed.h"

namespace blockformer::train {

// In nats a token.
struct ValidationLoss {
  double mean = 0;
  std::vector<std::optional<double>> by_position;  // in the block; nothing where none is predicted
};

// The loss of `samples` samples, spread evenly over `data`, `micro_batch` at once. All processes of
// `group` call it together, each computes a share, and all get the same. Nothing if the samples
// hold no token to predict. Throws Error as ProcessGroup::Sum and BatchLoader::Read do.
std::optional<ValidationLoss> MeasureValidationLoss(LanguageModel& model, const BatchLoader& data,
                                                    int64_t samples, int64_t micro_batch,
                                                    const torch::Device& device,
                                                    ProcessGroup* group);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_VALIDATION_H_
