#include "train/loop/step_gradients.h"

#include <vector>

#include "base/error.h"
#include "base/program.h"
#include "base/random.h"

namespace blockformer::train {

BatchShare ShareOf(const TrainingRecipe& training, int processes) {
  Require(training.batch_size % processes == 0, ErrorCode::kInvalidArgument,
          "training.batch_size: {} is not a multiple of the {} processes", training.batch_size,
          processes);
  const int64_t sequences = training.batch_size / processes;
  if (training.micro_batch_size == 0) return {sequences, sequences};
  Require(sequences % training.micro_batch_size == 0, ErrorCode::kInvalidArgument,
          "training.micro_batch_size: {} does not divide the {} sequences that a process has in a "
          "step",
          training.micro_batch_size, sequences);
  return {sequences, training.micro_batch_size};
}

StepGradients::StepGradients(const TrainingRecipe& training, const BatchLoader& samples,
                             const BatchShare& share, const torch::Device& device,
                             ProcessGroup* group, LanguageModel* model)
    : training_(training),
      samples_(samples),
      share_(share),
      device_(device),
      group_(group),
      model_(model),
      order_(samples.NumSamples(), training.seed) {}

StepLossSums StepGradients::Compute(int64_t step, const MicroBatchCallback& on_micro_batch) {
  StepLossSums totals = Accumulate(step, on_micro_batch);
  SumTotals(&totals);
  if (totals.is_whole) SumGradients();
  return totals;
}

// Sequences are numbered over the whole run; each process takes its part of the step's.
int64_t StepGradients::FirstSequence(int64_t step, int64_t micro_batch) const {
  return step * training_.batch_size + group_->rank() * share_.sequences +
         micro_batch * share_.micro_batch;
}

TokenBatch StepGradients::ReadBatch(int64_t first_sequence) {
  std::vector<int64_t> samples;
  for (int64_t i = 0; i < share_.micro_batch; ++i) samples.push_back(order_.At(first_sequence + i));
  return samples_.Read(samples, device_);
}

StepLossSums StepGradients::Accumulate(int64_t step, const MicroBatchCallback& on_micro_batch) {
  model_->train();
  StepLossSums totals;
  const int64_t micro_batches = share_.sequences / share_.micro_batch;
  for (int64_t i = 0; i < micro_batches && totals.is_whole; ++i) {
    AddMicroBatch(FirstSequence(step, i), &totals);
    on_micro_batch(i + 1, micro_batches);
    totals.is_whole = i + 1 == micro_batches || !StopRequested();
  }
  model_->eval();
  return totals;
}

void StepGradients::AddMicroBatch(int64_t first_sequence, StepLossSums* totals) {
  // What dropout removes follows from the place in the run, in whatever process and after any
  // number of interruptions.
  torch::manual_seed(MixBits(training_.seed + MixBits(static_cast<uint64_t>(first_sequence))));
  const TokenLoss loss = model_->Loss(ReadBatch(first_sequence));
  const double count = static_cast<double>(loss.count.item<int64_t>());
  if (count == 0) return;  // nothing but padding
  const bool by_tokens = training_.loss_average == LossAverage::kTokens;
  const double weight = by_tokens ? count : 1;
  const torch::Tensor value = by_tokens ? loss.sum : loss.sum / count;
  totals->loss += value.item<double>();
  totals->weight += weight;
  AddAuxiliaryLosses(loss, value, weight, totals).backward();
}

// The token loss `value` and the auxiliary losses of a micro-batch with this weight.
torch::Tensor StepGradients::AddAuxiliaryLosses(const TokenLoss& loss, torch::Tensor value,
                                                double weight, StepLossSums* totals) const {
  const AuxiliaryLosses& auxiliary = training_.auxiliary;
  if (loss.block_decoding.defined()) {
    value = value + loss.block_decoding * (weight * auxiliary.block_decoding_weight);
    totals->block_decoding += weight * loss.block_decoding.item<double>();
  }
  if (loss.auto_encoding.defined()) {
    value = value + loss.auto_encoding * (weight * auxiliary.auto_encoding_weight);
    totals->auto_encoding += weight * loss.auto_encoding.item<double>();
  }
  return value;
}

void StepGradients::SumGradients() {
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : model_->parameters()) {
    if (!parameter.grad().defined()) parameter.mutable_grad() = torch::zeros_like(parameter);
    gradients.push_back(parameter.grad());
  }
  group_->Sum(gradients);
}

void StepGradients::SumTotals(StepLossSums* totals) {
  const double stop = StopRequested() ? 1 : 0;
  const double left = totals->is_whole ? 0 : 1;
  const torch::Tensor sums = torch::tensor({totals->loss, totals->weight, totals->block_decoding,
                                            totals->auto_encoding, stop, left},
                                           torch::kFloat64)
                                 .to(device_);
  group_->Sum({sums});
  const torch::Tensor result = sums.cpu();
  const auto values = result.accessor<double, 1>();
  *totals = {values[0], values[1], values[2], values[3], values[4] > 0, values[5] == 0};
}

}  // namespace blockformer::train
