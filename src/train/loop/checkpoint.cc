#include "train/loop/checkpoint.h"

#include <filesystem>

#include "base/file.h"
#include "checkpoint/model_directory.h"
#include "text/tokenizer_paths.h"
#include "train/loop/model_card.h"
#include "train/model/weights.h"

namespace blockformer::train {
namespace {

constexpr char kOptimizerFile[] = "/optimizer.safetensors";
// Of libtorch's random generator; earlier versions wrote it, though every draw follows from the
// recipe's seed and the step.
constexpr char kUnusedTensor[] = "random_state";

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
  if (paths.empty()) return files;
  const std::filesystem::path folder = std::filesystem::path(paths.front()).parent_path();
  for (const auto& [name, role] : kTokenizerFiles) {
    if (role != TokenizerFileRole::kUse) continue;
    const std::string companion = (folder / name).string();
    if (FileExists(companion)) files.emplace_back(name, ReadFile(companion));
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
  WriteTensors(directory + kOptimizerFile, tensors.optimizer.State());
  WriteCheckpointState(directory, state, recipe, command);
}

void WriteCheckpointState(const std::string& directory, const TrainingState& state,
                          const TrainRecipe& recipe, const std::string& command) {
  WriteFileAtomically(directory + "/" + kModelCardFile, ModelCard(recipe, state, command));
  WriteTrainingState(directory, state, recipe);
}

TrainingState ReadCheckpoint(const std::string& directory, const TrainRecipe& recipe,
                             const TrainingTensors& tensors) {
  const TrainingState state = ReadTrainingState(directory, recipe);
  LoadWeights(directory, tensors.model);
  ReadTensors(directory + kOptimizerFile, tensors.optimizer.State(), kUnusedTensor);
  tensors.optimizer.SetUpdates(state.step);
  return state;
}

}  // namespace blockformer::train
