#ifndef BLOCKFORMER_TRAIN_LOOP_STEP_GRADIENTS_H_
#define BLOCKFORMER_TRAIN_LOOP_STEP_GRADIENTS_H_

#include <cstdint>
#include <functional>

#include "config/train_recipe.h"
#include "train/loop/batch_loader.h"
#include "train/model/language_model.h"
#include "train/processes/distributed.h"

namespace blockformer::train {

// How many of a step's sequences one process computes, and how many of these at once.
struct BatchShare {
  int64_t sequences = 0;
  int64_t micro_batch = 0;
};

// Throws Error(kInvalidArgument) that names the field of the recipe if the batch cannot be divided.
BatchShare ShareOf(const TrainingRecipe& training, int processes);

// Sums over micro-batches and processes. With LossAverage::kTokens a micro-batch adds the sum of
// its token losses and weighs as many as its kept tokens; with kPublished it adds its mean and
// weighs 1.
struct StepLossSums {
  double loss = 0;
  double weight = 0;
  // Sums of the auxiliary losses, weighed as the token loss is.
  double block_decoding = 0;
  double auto_encoding = 0;
  bool stop = false;  // whether any process was asked to stop
  // Whether every process has computed its whole share. One that is asked to stop leaves the step
  // between two micro-batches; the gradients are worth nothing then.
  bool is_whole = true;

  double Mean() const { return MeanOf(loss); }
  double MeanOf(double sum) const { return weight > 0 ? sum / weight : 0; }
};

// Is told after each micro-batch how many of this process's share are done.
using MicroBatchCallback = std::function<void(int64_t done, int64_t total)>;

// Computes a step's gradients: those of this process's share, summed over the processes. Refers to
// all that it is made of, which outlives it. Not thread-safe.
class StepGradients {
 public:
  StepGradients(const TrainingRecipe& training, const BatchLoader& samples, const BatchShare& share,
                const torch::Device& device, ProcessGroup* group, LanguageModel* model);

  // Adds the gradients of the summed losses of step `step`, from 0, to those of the model's
  // parameters, which are zero or undefined before. The optimiser divides them by the weight of the
  // whole step, which is known only when every process has counted. All processes call this
  // together. Throws as BatchLoader::Read and ProcessGroup do.
  StepLossSums Compute(int64_t step, const MicroBatchCallback& on_micro_batch);

 private:
  int64_t FirstSequence(int64_t step, int64_t micro_batch) const;
  TokenBatch ReadBatch(int64_t first_sequence);
  StepLossSums Accumulate(int64_t step, const MicroBatchCallback& on_micro_batch);
  void AddMicroBatch(int64_t first_sequence, StepLossSums* totals);
  torch::Tensor AddAuxiliaryLosses(const TokenLoss& loss, torch::Tensor value, double weight,
                                   StepLossSums* totals) const;
  void SumGradients();
  void SumTotals(StepLossSums* totals);

  const TrainingRecipe& training_;
  const BatchLoader& samples_;
  const BatchShare share_;
  const torch::Device device_;
  ProcessGroup* const group_;
  LanguageModel* const model_;
  SampleOrder order_;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_STEP_GRADIENTS_H_
