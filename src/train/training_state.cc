#include "train/training_state.h"

#include <array>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace blockformer {
namespace {

constexpr char kStateFile[] = "/state.json";
constexpr int64_t kFormat = 1;

Json OptionalNumber(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::optional<double> ReadOptional(const ObjectReader& reader, const std::string& key) {
  if (!reader.Has(key)) return std::nullopt;
  return reader.Number(key, -1e30, 1e30);
}

// Settings that a run cannot change half way, by the names they have in a recipe.
Json FixedSettings(const TrainRecipe& recipe) {
  return {{"model", ModelConfigToJson(recipe.model)},
          {"data", {{"packing", recipe.data.published_packing ? "published" : "corrected"}}},
          {"training",
           {{"batch_size", recipe.training.batch_size},
            {"seed", recipe.training.seed},
            {"loss_average",
             recipe.training.loss_average == LossAverage::kTokens ? "tokens" : "published"}}}};
}

// "/training/seed" as "training.seed".
std::string DottedPath(std::string pointer) {
  std::ranges::replace(pointer, '/', '.');
  return pointer.substr(1);
}

std::string ValueAt(const Json& document, const std::string& pointer) {
  const Json::json_pointer path(pointer);
  return document.contains(path) ? document[path].dump() : "not set";
}

void RequireSameRun(const TrainRecipe& before, const TrainRecipe& now,
                    const std::string& directory) {
  const Json old_settings = FixedSettings(before);
  const Json new_settings = FixedSettings(now);
  for (const Json& difference : Json::diff(old_settings, new_settings)) {
    const std::string path = difference["path"];
    Fail(ErrorCode::kInvalidArgument,
         "{}: was trained with {} {}, but the recipe now says {}; restore it, choose another "
         "output, "
         "or begin anew with --restart",
         directory, DottedPath(path), ValueAt(old_settings, path), ValueAt(new_settings, path));
  }
}

void LogChanges(const Json& before, const Json& now) {
  for (const Json& difference : Json::diff(before, now)) {
    const std::string path = difference["path"];
    LogInfo("resuming with {} {} (it was {})", DottedPath(path), ValueAt(now, path),
            ValueAt(before, path));
  }
}

struct SavedState {
  TrainingState state;
  TrainRecipe recipe;
};

SavedState ParseState(const Json& json, const std::string& path) {
  const ObjectReader reader(json, path);
  const int64_t format = reader.Int("format", 1, INT64_MAX);
  Require(format == kFormat, ErrorCode::kUnsupported,
          "{}: format {} is of a newer blockformer; this one reads format {}", path, format,
          kFormat);
  TrainingState state;
  state.step = reader.Int("step", 0, int64_t{1} << 40);
  state.training_loss = ReadOptional(reader, "training_loss");
  state.validation_loss = ReadOptional(reader, "validation_loss");
  state.best_loss = ReadOptional(reader, "best_loss");
  state.best_step = reader.Int("best_step", -1, state.step);
  const ObjectReader data = reader.Object("data");
  state.data.documents = data.Int("documents", 0, INT64_MAX);
  state.data.tokens = data.Int("tokens", 0, INT64_MAX);
  return {state, TrainRecipeFromJson(reader.Raw("recipe"), path + ": recipe")};
}

// The file is blockformer's own, so that a field which cannot be is damage, not a wrong argument.
SavedState ReadSavedState(const std::string& path) {
  const Json json = ReadJsonFile(path);
  try {
    return ParseState(json, path);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    Fail(ErrorCode::kCorrupt, "{}", error.what());
  }
}

}  // namespace

void WriteTrainingState(const std::string& directory, const TrainingState& state,
                        const TrainRecipe& recipe) {
  const int64_t samples = state.step * recipe.training.batch_size;
  const OrderedJson json = {
      {"format", kFormat},
      {"step", state.step},
      {"samples", samples},
      {"tokens", samples * recipe.model.max_length},
      {"training_loss", OptionalNumber(state.training_loss)},
      {"validation_loss", OptionalNumber(state.validation_loss)},
      {"best_loss", OptionalNumber(state.best_loss)},
      {"best_step", state.best_step},
      {"data", {{"documents", state.data.documents}, {"tokens", state.data.tokens}}},
      {"recipe", recipe.document}};
  WriteFileAtomically(directory + kStateFile, json.dump(2) + "\n");
}

TrainingState ReadTrainingState(const std::string& directory, const TrainRecipe& recipe) {
  const SavedState saved = ReadSavedState(directory + kStateFile);
  RequireSameRun(saved.recipe, recipe, directory);
  LogChanges(saved.recipe.document, recipe.document);
  return saved.state;
}

}  // namespace blockformer
