#include "config/train_recipe.h"

#include <string_view>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxSteps = int64_t{1} << 40;
constexpr int64_t kMaxBatchSize = 1 << 20;
constexpr int64_t kMaxThreads = 1024;
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

TrainingRecipe ReadTraining(const ObjectReader& reader) {
  TrainingRecipe training;
  training.steps = reader.Int("steps", 1, kMaxSteps);
  training.stop_steps = reader.Int("stop_steps", 1, training.steps, training.steps);
  training.batch_size = reader.Int("batch_size", 1, kMaxBatchSize);
  training.micro_batch_size = reader.Int("micro_batch_size", 1, training.batch_size, 0);
  ReadOptimizer(reader, &training);
  training.seed =
      static_cast<uint64_t>(reader.Int("seed", 0, INT64_MAX, static_cast<int64_t>(training.seed)));
  if (reader.Has("loss_average")) {
    training.loss_average = reader.Choice<LossAverage>(
        "loss_average", {{"tokens", LossAverage::kTokens}, {"published", LossAverage::kPublished}});
  }
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
  const std::string_view path = std::string_view(text).substr(0, equals);
  Json* field = document;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    Require(field->is_null() || field->is_object(), ErrorCode::kInvalidArgument,
            "\"{}\": {} is a value and has no fields", text, path.substr(0, begin - 1));
    field = &(*field)[std::string(path.substr(begin, end - begin))];
    begin = end + 1;
  }
  *field = ParseYaml(std::string_view(text).substr(equals + 1), "\"" + text + "\"");
}

// An absent section is read as an empty one, so that its defaults and required fields apply.
template <typename Section>
Section ReadSection(const ObjectReader& reader, const char* name,
                    Section (*read)(const ObjectReader&)) {
  static const Json empty = Json::object();
  return reader.Has(name) ? read(reader.Object(name))
                          : read(ObjectReader(empty, reader.source(), name));
}

}  // namespace

TrainRecipe TrainRecipeFromJson(const Json& document, const std::string& source) {
  const ObjectReader reader(document, source);
  TrainRecipe recipe;
  recipe.model = ModelConfigFromRecipe(reader.Object("model"));
  recipe.data = ReadSection(reader, "data", ReadData);
  recipe.training = ReadSection(reader, "training", ReadTraining);
  recipe.validation = ReadSection(reader, "validation", ReadValidation);
  recipe.checkpoint = ReadSection(reader, "checkpoint", ReadCheckpoint);
  recipe.output = reader.String("output");
  reader.RejectUnknown();
  CheckRecipe(recipe, reader);
  recipe.document = document;
  return recipe;
}

TrainRecipe ReadTrainRecipe(const std::string& path, const std::vector<std::string>& overrides) {
  Json document = ReadYamlFile(path);
  for (const std::string& text : overrides) ApplyOverride(text, &document);
  return TrainRecipeFromJson(document, path);
}

ModelConfig ReadRecipeModel(const std::string& path) {
  const Json document = ReadYamlFile(path);
  return ModelConfigFromRecipe(ObjectReader(document, path).Object("model"));
}

}  // namespace blockformer
