#include "train/loop/checkpoint.h"

#include <ATen/CPUGeneratorImpl.h>

#include <filesystem>

#include "base/file.h"
#include "checkpoint/model_directory.h"
#include "text/tokenizer_paths.h"
#include "train/loop/model_card.h"
#include "train/model/weights.h"

namespace blockformer::train {
namespace {

constexpr char kOptimizerFile[] = "/optimizer.safetensors";
constexpr char kRandomStateName[] = "random_state";

// The generator's bytes, one in each element, since safetensors files here hold i64 and f32.
torch::Tensor RandomState() {
  return at::detail::getDefaultCPUGenerator().get_state().to(torch::kInt64);
}

NamedTensors OptimizerTensors(const AdamW& optimizer, const torch::Tensor& random_state) {
  NamedTensors tensors = optimizer.State();
  tensors.emplace_back(kRandomStateName, random_state);
  return tensors;
}

}  // namespace

TokenizerFiles ReadTokenizerFiles(const std::string& path) {
  TokenizerFiles files;
  if (path.empty()) return files;
  const std::vector<std::string> paths = TokenizerPaths(path);
  for (const std::string& file : paths) {
    // GPT-2's pair is known by its names; a file alone is a tokenizer.json, whatever its name.
    const bool alone = paths.size() == 1;
    files.emplace_back(alone ? kTokenizerFile : std::filesystem::path(file).filename().string(),
                       ReadFile(file));
  }
  return files;
}

void WriteCheckpoint(const std::string& directory, const TrainingTensors& tensors,
                     const TrainingState& state, const TrainRecipe& recipe,
                     const TokenizerFiles& tokenizer, const std::string& command) {
  WriteModelConfig(directory, recipe.model);
  SaveWeights(tensors.model, directory);
  for (const auto& [name, contents] : tokenizer) {
    WriteFileAtomically(directory + "/" + name, contents);
  }
  WriteFileAtomically(directory + "/" + kModelCardFile, ModelCard(recipe, state, command));
  WriteTensors(directory + kOptimizerFile, OptimizerTensors(tensors.optimizer, RandomState()));
  WriteTrainingState(directory, state, recipe);
}

TrainingState ReadCheckpoint(const std::string& directory, const TrainRecipe& recipe,
                             const TrainingTensors& tensors) {
  const TrainingState state = ReadTrainingState(directory, recipe);
  LoadWeights(directory, tensors.model);
  const torch::Tensor random_state = RandomState();
  ReadTensors(directory + kOptimizerFile, OptimizerTensors(tensors.optimizer, random_state));
  tensors.optimizer.SetUpdates(state.step);
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_state(random_state.to(torch::kUInt8));
  return state;
}

}  // namespace blockformer::train
