#ifndef BLOCKFORMER_TRAIN_MODEL_WEIGHTS_H_
#define BLOCKFORMER_TRAIN_MODEL_WEIGHTS_H_

#include <string>
#include <utility>
#include <vector>

#include "train/model/language_model.h"
#include "train/torch.h"

namespace blockformer::train {

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

// Writes f32 and i64 tensors of any device as a safetensors file, atomically and in this order.
void WriteTensors(const std::string& path, const NamedTensors& tensors);

// Fills tensors from a safetensors file that holds them with the same shapes and types, and nothing
// else but perhaps a tensor called `ignored`. Throws Error(kCorrupt) that names the tensor
// otherwise.
void ReadTensors(const std::string& path, const NamedTensors& tensors,
                 const std::string& ignored = "");

// Writes DIRECTORY/model.safetensors: every tensor of the published checkpoint in f32, those that
// nothing reads as zeros.
void SaveWeights(const LanguageModel& model, const std::string& directory);

// Fills the model from a model directory whose config.json describes the same model. Throws
// Error(kCorrupt) as SafetensorsWeights does, or Error(kUnsupported) if its weights are int8.
void LoadWeights(const std::string& directory, LanguageModel& model);

// The same from a directory that another run or program made. Throws Error(kInvalidArgument) that
// names the first field of its config.json that the model does not agree with; the context and the
// padding may differ, since no weight depends on them.
void LoadInitialWeights(const std::string& directory, LanguageModel& model);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_WEIGHTS_H_
