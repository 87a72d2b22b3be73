#ifndef BLOCKFORMER_TRAIN_LOOP_BATCH_LOADER_H_
#define BLOCKFORMER_TRAIN_LOOP_BATCH_LOADER_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "config/train_recipe.h"
#include "data/packing.h"
#include "data/token_file.h"
#include "train/model/language_model.h"

namespace blockformer::train {

// The order in which training sees the samples: each epoch is a permutation fixed by the seed, so a
// position in the run, which follows from the step, is all there is to remember. Not thread-safe.
class SampleOrder {
 public:
  SampleOrder(int64_t num_samples, uint64_t seed) : num_samples_(num_samples), seed_(seed) {}

  int64_t At(int64_t position);

 private:
  int64_t num_samples_;
  uint64_t seed_;
  int64_t epoch_ = -1;  // of permutation_
  std::vector<int64_t> permutation_;
};

// Reads packed samples of a token file as batches for the model. Not thread-safe.
class BatchLoader {
 public:
  // Packs as the model's padding and the recipe's packing say. Throws Error(kInvalidArgument) if
  // the file is too short for one sample.
  BatchLoader(const std::string& prefix, const ModelConfig& model, bool published_packing);
  BatchLoader(const BatchLoader&) = delete;  // samples_ refers to tokens_
  BatchLoader& operator=(const BatchLoader&) = delete;

  int64_t NumSamples() const { return samples_.NumSamples(); }
  const TokenFile& tokens() const { return tokens_; }

  // The samples as one batch, in the order given. Throws Error(kCorrupt) for a token id that the
  // model has no row for.
  TokenBatch Read(std::span<const int64_t> samples, const torch::Device& device) const;

 private:
  TokenFile tokens_;
  PackedSamples samples_;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_BATCH_LOADER_H_
