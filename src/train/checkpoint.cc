#include "train/checkpoint.h"

#include <ATen/CPUGeneratorImpl.h>

#include <filesystem>

#include "base/file.h"
#include "checkpoint/model_directory.h"
#include "train/model_card.h"
#include "train/weights.h"

namespace blockformer {
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
  if (path.ends_with(".json") && !IsDirectory(path)) return {{kTokenizerFile, ReadFile(path)}};
  const std::string directory =
      IsDirectory(path) ? path : std::filesystem::path(path).parent_path().string();
  for (const char* name :
       {kTokenizerFile, "vocab.json", "merges.txt", "encoder.json", "vocab.bpe"}) {
    const std::string file = (std::filesystem::path(directory) / name).string();
    if (FileExists(file)) files.emplace_back(name, ReadFile(file));
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

}  // namespace blockformer
