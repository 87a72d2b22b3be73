#include "config/train_recipe.h"

#include <cmath>
#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "config/parameters.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxSteps = int64_t{1} << 40;
constexpr double kMaxFlops = 1e30;
constexpr int64_t kMaxBatchSize = 1 << 20;
constexpr int64_t kMaxThreads = 1024;
constexpr double kMaxLossWeight = 1e6;
constexpr int64_t kMaxKeptCheckpoints = 1 << 20;

DataRecipe ReadData(const ObjectReader& reader) {
  DataRecipe data;
  data.train = reader.String("train");
  data.validation = reader.String("validation", "");
  data.tokenizer = reader.String("tokenizer", "");
  if (reader.Has("packing")) {
    data.published_packing =
        reader.Choice<bool>("packing", {{"corrected", false}, {"published", true}});
  }
  reader.RejectUnknown();
  return data;
}

void ReadOptimizer(const ObjectReader& reader, TrainingRecipe* training) {
  training->learning_rate = reader.Number("learning_rate", 0, 10);
  training->warmup_steps = reader.Int("warmup_steps", 0, kMaxSteps, 0);
  training->min_lr_ratio = reader.Number("min_lr_ratio", 0, 1, training->min_lr_ratio);
  training->beta1 = reader.Number("beta1", 0, 0.9999999, training->beta1);
  training->beta2 = reader.Number("beta2", 0, 0.9999999, training->beta2);
  training->epsilon = reader.Number("epsilon", 1e-30, 1, training->epsilon);
  training->weight_decay = reader.Number("weight_decay", 0, 100, training->weight_decay);
  training->clip_norm = reader.Number("clip_norm", 0, 1e9, training->clip_norm);
}

double FlopsPerStep(const ModelConfig& model, const TrainingRecipe& training) {
  return TrainingFlopsPerToken(model) * static_cast<double>(training.batch_size * model.max_length);
}

// The steps that are nearest to the budget.
int64_t StepsOfBudget(const ObjectReader& reader, double flops, double flops_per_step) {
  const double steps = std::round(flops / flops_per_step);
  if (!(steps >= 1 && steps <= static_cast<double>(kMaxSteps))) {
    reader.FailField("flops",
                     fmt::format("{:g} is worth {:g} steps of {:g} FLOPs; 1 to {} steps "
                                 "are wanted",
                                 flops, flops / flops_per_step, flops_per_step, kMaxSteps));
  }
  return static_cast<int64_t>(steps);
}

void ReadLength(const ObjectReader& reader, const ModelConfig& model, TrainingRecipe* training) {
  const bool has_budget = reader.Has("flops");
  if (has_budget && reader.Has("steps")) {
    reader.FailField("flops",
                     "stands beside steps; one of the two is wanted (training.steps=null on the "
                     "command line removes the other)");
  }
  if (has_budget) {
    training->flops = reader.Number("flops", 0, kMaxFlops);
    training->steps = StepsOfBudget(reader, training->flops, FlopsPerStep(model, *training));
  } else {
    training->steps = reader.Int("steps", 1, kMaxSteps);
  }
  training->stop_steps = reader.Int("stop_steps", 1, training->steps, training->steps);
}

AuxiliaryLosses ReadAuxiliaryLosses(const ObjectReader& reader) {
  AuxiliaryLosses losses;
  if (reader.Has("block_decoding_loss")) {
    losses.block_decoding = reader.Choice<BlockDecodingLoss>(
        "block_decoding_loss", {{"none", BlockDecodingLoss::kNone},
                                {"mse", BlockDecodingLoss::kMse},
                                {"contrastive", BlockDecodingLoss::kContrastive}});
  }
  losses.block_decoding_weight =
      reader.Number("block_decoding_loss_weight", 0, kMaxLossWeight, losses.block_decoding_weight);
  losses.auto_encoding_weight =
      reader.Number("auto_encoding_loss_weight", 0, kMaxLossWeight, losses.auto_encoding_weight);
  return losses;
}

TrainingRecipe ReadTraining(const ObjectReader& reader, const ModelConfig& model) {
  TrainingRecipe training;
  training.batch_size = reader.Int("batch_size", 1, kMaxBatchSize);
  ReadLength(reader, model, &training);
  training.micro_batch_size = reader.Int("micro_batch_size", 1, training.batch_size, 0);
  ReadOptimizer(reader, &training);
  training.seed =
      static_cast<uint64_t>(reader.Int("seed", 0, INT64_MAX, static_cast<int64_t>(training.seed)));
  if (reader.Has("loss_average")) {
    training.loss_average = reader.Choice<LossAverage>(
        "loss_average", {{"tokens", LossAverage::kTokens}, {"published", LossAverage::kPublished}});
  }
  training.auxiliary = ReadAuxiliaryLosses(reader);
  if (reader.Has("dtype")) {
    training.bfloat16 = reader.Choice<bool>("dtype", {{"f32", false}, {"bf16", true}});
  }
  if (reader.Has("device")) {
    training.device = reader.Choice<DeviceChoice>("device", {{"auto", DeviceChoice::kAuto},
                                                             {"cpu", DeviceChoice::kCpu},
                                                             {"cuda", DeviceChoice::kCuda}});
  }
  training.threads = static_cast<int>(reader.Int("threads", 0, kMaxThreads, 0));
  reader.RejectUnknown();
  return training;
}

ValidationRecipe ReadValidation(const ObjectReader& reader) {
  ValidationRecipe validation;
  validation.interval = reader.Int("interval", 0, kMaxSteps, 0);
  validation.samples = reader.Int("samples", 1, kMaxSteps, validation.samples);
  validation.prompt = reader.String("prompt", validation.prompt);
  validation.sample_tokens = reader.Int("sample_tokens", 0, 1 << 20, validation.sample_tokens);
  reader.RejectUnknown();
  return validation;
}

CheckpointRecipe ReadCheckpoint(const ObjectReader& reader) {
  CheckpointRecipe checkpoint;
  checkpoint.interval = reader.Int("interval", 0, kMaxSteps, 0);
  checkpoint.keep_last = reader.Int("keep_last", 1, kMaxKeptCheckpoints, checkpoint.keep_last);
  checkpoint.keep_best = reader.Bool("keep_best", checkpoint.keep_best);
  reader.RejectUnknown();
  return checkpoint;
}

// What each section allows by itself, but the sections together do not.
void CheckRecipe(const TrainRecipe& recipe, const ObjectReader& reader) {
  const int64_t length = recipe.model.max_length;
  const int64_t block = recipe.model.block_length;
  // The first block of a block model, like the first token of a vanilla one, is never predicted.
  if (length < 2 * block || length % block != 0) {
    reader.FailField("model.max_length",
                     fmt::format("{} is not possible; a multiple of block_length {}, and at least "
                                 "twice that, is wanted",
                                 length, block));
  }
  if (recipe.training.warmup_steps >= recipe.training.steps) {
    reader.FailField("training.warmup_steps",
                     fmt::format("{} is not below training.steps {}", recipe.training.warmup_steps,
                                 recipe.training.steps));
  }
  if (recipe.model.kind == ModelKind::kVanilla && recipe.training.auxiliary.Any()) {
    const bool block_decoding =
        recipe.training.auxiliary.block_decoding != BlockDecodingLoss::kNone;
    reader.FailField(
        block_decoding ? "training.block_decoding_loss" : "training.auto_encoding_loss_weight",
        "is of block models, but model.type is vanilla");
  }
  if (recipe.validation.interval > 0 && recipe.data.validation.empty()) {
    reader.FailField("validation.interval", "needs data.validation, which is not set");
  }
  if (recipe.output.empty()) reader.FailField("output", "is empty; a directory is wanted");
}

void ApplyOverride(const std::string& text, Json* document) {
  const size_t equals = text.find('=');
  Require(equals != std::string::npos && equals > 0, ErrorCode::kInvalidArgument,
          "\"{}\" is not an override; section.key=value is wanted, for example training.steps=100",
          text);
  const std::string quoted = "\"" + text + "\"";
  SetRecipeField(text.substr(0, equals),
                 ParseYaml(std::string_view(text).substr(equals + 1), quoted), quoted, document);
}

// Whether two sections are of different types, which have different fields.
bool ChangesType(const Json& over, const Json& section) {
  constexpr char kType[] = "type";
  return over.contains(kType) && section.contains(kType) && over[kType] != section[kType];
}

// Fields of `over` replace those of `*document`; sections of one type are merged.
void Merge(Json over, Json* document) {
  for (auto& [key, value] : over.items()) {
    Json& field = (*document)[key];
    if (field.is_object() && value.is_object() && !ChangesType(value, field)) {
      Merge(std::move(value), &field);
    } else {
      field = std::move(value);
    }
  }
}

// A recipe's file over the one that its `base` names, if it does; `above` files are over it.
Json ReadRecipeFile(const std::string& path, int above = 0) {
  constexpr int kMaxBases = 8;
  Json document = ReadYamlFile(path);
  if (!document.is_object() || !document.contains("base")) return document;
  const std::string name = ObjectReader(document, path).String("base");
  if (name.empty()) ObjectReader(document, path).FailField("base", "is empty; a file is wanted");
  Require(
      above < kMaxBases, ErrorCode::kInvalidArgument,
      "{}: base: is the {}th over each other; at most {} are possible, and none may lead back to "
      "itself",
      path, kMaxBases + 1, kMaxBases);
  document.erase("base");
  Json base = ReadRecipeFile(std::filesystem::path(path).parent_path() / name, above + 1);
  Require(base.is_object(), ErrorCode::kInvalidArgument, "{}: base: {} holds no fields", path,
          name);
  Merge(std::move(document), &base);
  return base;
}

// A null stands for no field: it removes what a base or the file itself says.
void RemoveNulls(Json* section) {
  for (auto field = section->begin(); section->is_object() && field != section->end();) {
    if (field->is_null()) {
      field = section->erase(field);
      continue;
    }
    if (field->is_object()) RemoveNulls(&*field);
    ++field;
  }
}

// An absent section is read as an empty one, so that its defaults and required fields apply.
template <typename Read>
auto ReadSection(const ObjectReader& reader, const char* name, const Read& read) {
  static const Json empty = Json::object();
  return reader.Has(name) ? read(reader.Object(name))
                          : read(ObjectReader(empty, reader.source(), name));
}

// The directory whose model a recipe takes: that of `init_from`, or, where a run continues after
// that is gone, its own.
std::string InitialModelDirectory(const ObjectReader& reader) {
  const std::string directory = reader.String("init_from");
  if (directory.empty()) reader.FailField("init_from", "is empty; a model directory is wanted");
  const std::string own = reader.String("output", "");
  const bool is_gone = !FileExists(directory + "/config.json");
  return is_gone && FileExists(own + "/config.json") ? own : directory;
}

// The document without nulls, and with the model of `init_from`, if it names one and has no model
// of its own: a checkpoint's recipe must not need that directory any more.
Json Completed(Json document, const std::string& source) {
  // The one text with a default that is not empty; who writes it without a value wants none.
  const Json::json_pointer prompt("/validation/prompt");
  if (document.contains(prompt) && document[prompt].is_null()) document[prompt] = "";
  RemoveNulls(&document);
  const ObjectReader reader(document, source);
  if (reader.Has("model") || !reader.Has("init_from")) return document;
  const std::string path = InitialModelDirectory(reader) + "/config.json";
  document["model"] = ModelConfigToRecipe(ModelConfigFromJson(ReadJsonFile(path), path));
  return document;
}

}  // namespace

TrainRecipe TrainRecipeFromJson(const Json& given, const std::string& source) {
  const Json document = Completed(given, source);
  const ObjectReader reader(document, source);
  TrainRecipe recipe;
  recipe.init_from = reader.String("init_from", "");
  recipe.model = ModelConfigFromRecipe(reader.Object("model"));
  recipe.data = ReadSection(reader, "data", ReadData);
  recipe.training = ReadSection(reader, "training", [&](const ObjectReader& training) {
    return ReadTraining(training, recipe.model);
  });
  recipe.validation = ReadSection(reader, "validation", ReadValidation);
  recipe.checkpoint = ReadSection(reader, "checkpoint", ReadCheckpoint);
  recipe.output = reader.String("output");
  reader.RejectUnknown();
  CheckRecipe(recipe, reader);
  recipe.document = document;
  return recipe;
}

void SetRecipeField(const std::string& path, Json value, const std::string& source,
                    Json* document) {
  Json* field = document;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    Require(field->is_null() || field->is_object(), ErrorCode::kInvalidArgument,
            "{}: {} is a value and has no fields", source, path.substr(0, begin - 1));
    field = &(*field)[path.substr(begin, end - begin)];
    begin = end + 1;
  }
  *field = std::move(value);
}

Json ReadRecipeDocument(const std::string& path, const std::vector<std::string>& overrides) {
  Json document = ReadRecipeFile(path);
  for (const std::string& text : overrides) ApplyOverride(text, &document);
  return document;
}

TrainRecipe ReadTrainRecipe(const std::string& path, const std::vector<std::string>& overrides) {
  return TrainRecipeFromJson(ReadRecipeDocument(path, overrides), path);
}

double TrainingFlops(const TrainRecipe& recipe, int64_t steps) {
  return FlopsPerStep(recipe.model, recipe.training) * static_cast<double>(steps);
}

ModelConfig ReadRecipeModel(const std::string& path) {
  const Json document = Completed(ReadRecipeFile(path), path);
  return ModelConfigFromRecipe(ObjectReader(document, path).Object("model"));
}

}  // namespace blockformer
