#include "train/loop/training_state.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/field_difference.h"

namespace blockformer::train {
namespace {

constexpr char kStateFile[] = "/state.json";
constexpr int64_t kFormat = 1;
constexpr const char* kDerivedFields[] = {"samples", "tokens"};  // for readers of the file

template <typename Number>
Json OptionalNumber(const std::optional<Number>& value) {
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

constexpr char kNotSet[] = "not set";

void RequireSameRun(const TrainRecipe& before, const TrainRecipe& now,
                    const std::string& directory) {
  for (const FieldDifference& change : FindDifferences(FixedSettings(before), FixedSettings(now))) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: was trained with {} {}, but the recipe now says {}; restore it, choose another "
         "output, or begin anew with --restart",
         directory, change.path, change.first.value_or(kNotSet), change.second.value_or(kNotSet));
  }
}

void LogChanges(const Json& before, const Json& now) {
  for (const FieldDifference& change : FindDifferences(before, now)) {
    LogInfo("resuming with {} {} (it was {})", change.path, change.second.value_or(kNotSet),
            change.first.value_or(kNotSet));
  }
}

// The same with other errors' codes: what was written by blockformer itself is no wrong argument.
template <typename Read>
auto WithErrorCode(ErrorCode code, const char* explanation, const Read& read) {
  try {
    return read();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    Fail(code, "{}{}", error.what(), explanation);
  }
}

constexpr char kOtherVersion[] = "; another version of blockformer has written it, and can read it";

DataFingerprint ReadFingerprint(const ObjectReader& reader) {
  return {reader.Int("documents", 0, INT64_MAX), reader.Int("tokens", 0, INT64_MAX),
          reader.String("sample", "")};
}

Json ValidationSetToJson(const std::optional<ValidationSet>& set) {
  if (!set) return nullptr;
  Json json = ToJson(set->data);
  json["samples"] = set->samples;
  return json;
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
  if (reader.Has("validation_step")) {
    state.validation_step = reader.Int("validation_step", 0, state.step);
  }
  if (reader.Has("validation_set")) {
    const ObjectReader set = reader.Object("validation_set");
    state.validation_set = {ReadFingerprint(set), set.Int("samples", 1, INT64_MAX)};
  }
  state.best_loss = ReadOptional(reader, "best_loss");
  state.best_step = reader.Int("best_step", -1, state.step);
  const ObjectReader data = reader.Object("data");
  state.data = ReadFingerprint(data);
  for (const char* key : kDerivedFields) reader.Ignore(key);
  // A recipe that this version has no words for is not damaged, and neither is a field too many.
  return WithErrorCode(ErrorCode::kUnsupported, kOtherVersion, [&] {
    SavedState saved = {state, TrainRecipeFromJson(reader.Raw("recipe"), path + ": recipe")};
    data.RejectUnknown();
    reader.RejectUnknown();
    return saved;
  });
}

SavedState ReadSavedState(const std::string& path) {
  const Json json = ReadJsonFile(path);
  return WithErrorCode(ErrorCode::kCorrupt, "", [&] { return ParseState(json, path); });
}

}  // namespace

void SetValidationSet(const std::optional<ValidationSet>& now, TrainingState* state) {
  if (!now) return;
  if (state->validation_set && !now->IsOf(*state->validation_set)) {
    if (state->best_loss) {
      LogInfo(
          "the validation samples are others than before: the best loss so far, {:.4f} at step "
          "{}, no longer counts",
          *state->best_loss, state->best_step);
    }
    state->validation_loss.reset();
    state->validation_step = 0;
    state->best_loss.reset();
    state->best_step = -1;
  }
  state->validation_set = now;
}

Json ToJson(const DataFingerprint& data) {
  return {{"documents", data.documents}, {"tokens", data.tokens}, {"sample", data.sample}};
}

void WriteTrainingState(const std::string& directory, const TrainingState& state,
                        const TrainRecipe& recipe) {
  const int64_t samples = state.step * recipe.training.batch_size;
  const OrderedJson json = {{"format", kFormat},
                            {"step", state.step},
                            {"samples", samples},
                            {"tokens", samples * recipe.model.max_length},
                            {"training_loss", OptionalNumber(state.training_loss)},
                            {"validation_loss", OptionalNumber(state.validation_loss)},
                            {"validation_step", OptionalNumber(state.validation_step)},
                            {"validation_set", ValidationSetToJson(state.validation_set)},
                            {"best_loss", OptionalNumber(state.best_loss)},
                            {"best_step", state.best_step},
                            {"data", ToJson(state.data)},
                            {"recipe", recipe.document}};
  WriteFileAtomically(directory + kStateFile, json.dump(2) + "\n");
}

TrainingState ReadTrainingState(const std::string& directory, const TrainRecipe& recipe) {
  const SavedState saved = ReadSavedState(directory + kStateFile);
  RequireSameRun(saved.recipe, recipe, directory);
  LogChanges(saved.recipe.document, recipe.document);
  return saved.state;
}

}  // namespace blockformer::train
