#ifndef BLOCKFORMER_CONFIG_TRAIN_RECIPE_H_
#define BLOCKFORMER_CONFIG_TRAIN_RECIPE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "config/json.h"
#include "config/model_config.h"

namespace blockformer {

enum class DeviceChoice { kAuto, kCpu, kCuda };

// How the losses of a step's micro-batches are averaged.
enum class LossAverage {
  kTokens,     // the sum over the global batch by its number of kept tokens
  kPublished,  // the mean of the micro-batches' means, as the published implementation has it
};

// The loss of a context embedding against the embedding of the block that it predicts.
enum class BlockDecodingLoss { kNone, kMse, kContrastive };

// Losses of a block model that are added to the token loss, each the mean of a micro-batch times
// its weight.
struct AuxiliaryLosses {
  BlockDecodingLoss block_decoding = BlockDecodingLoss::kNone;
  double block_decoding_weight = 1;
  double auto_encoding_weight = 0;  // of the token decoder's loss on a block given its embedding

  bool Any() const {
    return block_decoding != BlockDecodingLoss::kNone || auto_encoding_weight > 0;
  }
};

// Paths are relative to the working directory.
struct DataRecipe {
  std::string train;       // prefix of a token file pair
  std::string validation;  // the same; empty: no validation
  // Copied into checkpoints and used for samples; empty: that of TrainRecipe::init_from, if any.
  std::string tokenizer;
  bool published_packing = false;
};

struct TrainingRecipe {
  int64_t steps = 0;       // length of the learning-rate schedule
  double flops = 0;        // the budget that `steps` was computed from; 0: steps were given
  int64_t stop_steps = 0;  // ends earlier, with the schedule as it is; equal to steps if not set
  int64_t batch_size = 0;  // sequences a step, over all processes
  int64_t micro_batch_size =
      0;  // sequences at once in one process; 0: the whole share of a process
  double learning_rate = 0;
  int64_t warmup_steps = 0;
  double min_lr_ratio = 0.1;  // learning rate one step after the last as a share of the highest
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  double clip_norm = 1.0;  // of all gradients together; 0: no clipping
  uint64_t seed = 42;      // of the initial weights and of the order of samples
  LossAverage loss_average = LossAverage::kTokens;
  AuxiliaryLosses auxiliary;
  bool bfloat16 = false;  // matrix products in bf16
  DeviceChoice device = DeviceChoice::kAuto;
  int threads = 0;  // of all processes on this machine together; 0: as many as processors
};

struct ValidationRecipe {
  int64_t interval = 0;  // steps; 0: only after the last step
  int64_t samples = 64;  // sequences of the validation file, spread evenly over it
  std::string prompt = "The";
  int64_t sample_tokens = 64;  // tokens of text made after the prompt; 0: none
};

struct CheckpointRecipe {
  int64_t interval = 0;  // steps; 0: only after the last step
  int64_t keep_last = 2;
  bool keep_best = true;  // a validation loss that is the lowest so far saves a checkpoint
};

// What `train` does: model, data and settings, from one YAML file.
struct TrainRecipe {
  ModelConfig model;
  DataRecipe data;
  TrainingRecipe training;
  ValidationRecipe validation;
  CheckpointRecipe checkpoint;
  std::string output;  // directory
  // A model directory whose weights a run begins with, unless it continues; empty: drawn anew.
  std::string init_from;

  Json document;  // the file with the overrides applied, without nulls: itself a recipe
};

// Reads a recipe. Its field `base` names a file, relative to its own, that holds what it does not
// say; sections are merged, unless they differ in `type`, and a base may have one too. A null
// removes a field. Each override is "section.key=value" with
// the value as YAML has it, and replaces or adds what the file says. Unknown keys, impossible
// values and contradictions throw Error(kInvalidArgument) that names the field.
TrainRecipe ReadTrainRecipe(const std::string& path, const std::vector<std::string>& overrides);

// The same from a parsed document; `source` opens every message. Without a `model` section the
// model is that of `init_from`, and is written into `TrainRecipe::document`.
TrainRecipe TrainRecipeFromJson(const Json& given, const std::string& source);

// Sets the field "section.key" of a recipe's document, and makes its section if there is none.
// Throws Error(kInvalidArgument) that opens with `source` if a part of the path is a value.
void SetRecipeField(const std::string& path, Json value, const std::string& source, Json* document);

// Reads a recipe's document, of which the fields may still be changed, and applies the overrides.
Json ReadRecipeDocument(const std::string& path, const std::vector<std::string>& overrides);

// FLOPs of training for `steps` steps, as TrainingFlopsPerToken() counts them.
double TrainingFlops(const TrainRecipe& recipe, int64_t steps);

// Reads and checks the `model` section alone, for commands that need no more of a recipe.
ModelConfig ReadRecipeModel(const std::string& path);

}  // namespace blockformer

#endif  // BLOCKFORMER_CONFIG_TRAIN_RECIPE_H_
