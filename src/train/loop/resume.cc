#include "train/loop/resume.h"

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace blockformer::train {
namespace {

namespace fs = std::filesystem;

// `path` relative to the directory that it is or is in; empty if it is elsewhere or not there.
std::string PathInside(const std::string& directory, const std::string& path) {
  std::error_code error;
  const fs::path relative =
      fs::canonical(path, error).lexically_relative(fs::canonical(directory, error));
  return relative.empty() || *relative.begin() == ".." ? "" : relative.string();
}

void SetAsideAfter(int64_t step, CheckpointStore* store) {
  for (const int64_t damaged : store->Steps()) {
    if (damaged > step) LogWarning("the damaged one is now in {}", store->SetAside(damaged));
  }
}

void RequireSameData(const TrainingState& state, const DataFingerprint& data,
                     const TrainRecipe& recipe, const std::string& path) {
  constexpr char kRemedy[] =
      "restore the data, choose another output, or begin anew with --restart";
  const bool has_counts =
      state.data.documents == data.documents && state.data.tokens == data.tokens;
  Require(has_counts, ErrorCode::kInvalidArgument,
          "data.train: {} holds {} documents and {} tokens, but {} was trained on {} and {}; {}",
          recipe.data.train, data.documents, data.tokens, path, state.data.documents,
          state.data.tokens, kRemedy);
  Require(state.data.IsOf(data), ErrorCode::kInvalidArgument,
          "data.train: {} holds other tokens than those that {} was trained on, though as many; {}",
          recipe.data.train, path, kRemedy);
}

}  // namespace

void SetRunAside(TrainRecipe* recipe) {
  const CheckpointStore earlier(recipe->output);  // nobody else trains there
  const std::string inside =
      recipe->init_from.empty() ? "" : PathInside(recipe->output, recipe->init_from);
  const std::string moved = MoveAside(recipe->output);
  LogInfo("the earlier run is now in {}", moved);
  if (inside.empty()) return;
  recipe->init_from = inside == "." ? moved : moved + "/" + inside;
  recipe->document["init_from"] = recipe->init_from;
}

std::optional<TrainingState> ResumeRun(const TrainRecipe& recipe, const DataFingerprint& data,
                                       const TrainingTensors& tensors, CheckpointStore* store) {
  std::vector<int64_t> steps = store->Steps();
  if (steps.empty()) return std::nullopt;
  for (; !steps.empty(); steps.pop_back()) {
    const std::string path = store->PathOf(steps.back());
    TrainingState state;
    try {
      state = ReadCheckpoint(path, recipe, tensors);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorrupt && error.code() != ErrorCode::kNotFound) throw;
      LogWarning("damaged: {}", error.what());
      continue;
    }
    RequireSameData(state, data, recipe, path);
    store->UpdateLinks(state.step, state.best_step);
    SetAsideAfter(state.step, store);
    LogInfo("resuming from {}", path);
    return state;
  }
  Fail(ErrorCode::kCorrupt, "{}: none of its checkpoints can be read; begin anew with --restart",
       recipe.output);
}

}  // namespace blockformer::train
