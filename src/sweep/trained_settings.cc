#include "sweep/trained_settings.h"

namespace blockformer {
namespace {

const char* DeviceName(DeviceChoice device) {
  switch (device) {
    case DeviceChoice::kAuto:
      return "auto";
    case DeviceChoice::kCpu:
      return "cpu";
    case DeviceChoice::kCuda:
      return "cuda";
  }
  return "";
}

const char* LossName(BlockDecodingLoss loss) {
  switch (loss) {
    case BlockDecodingLoss::kNone:
      return "none";
    case BlockDecodingLoss::kMse:
      return "mse";
    case BlockDecodingLoss::kContrastive:
      return "contrastive";
  }
  return "";
}

Json DataSettings(const DataRecipe& data) {
  return {{"train", data.train},
          {"validation", data.validation},
          {"tokenizer", data.tokenizer},
          {"packing", data.published_packing ? "published" : "corrected"}};
}

Json TrainingSettings(const TrainingRecipe& training) {
  return {{"steps", training.steps},
          {"flops", nullptr},
          {"stop_steps", training.stop_steps},
          {"batch_size", training.batch_size},
          {"micro_batch_size", training.micro_batch_size},
          {"learning_rate", training.learning_rate},
          {"warmup_steps", training.warmup_steps},
          {"min_lr_ratio", training.min_lr_ratio},
          {"beta1", training.beta1},
          {"beta2", training.beta2},
          {"epsilon", training.epsilon},
          {"weight_decay", training.weight_decay},
          {"clip_norm", training.clip_norm},
          {"seed", training.seed},
          {"loss_average", training.loss_average == LossAverage::kTokens ? "tokens" : "published"},
          {"block_decoding_loss", LossName(training.auxiliary.block_decoding)},
          {"block_decoding_loss_weight", training.auxiliary.block_decoding_weight},
          {"auto_encoding_loss_weight", training.auxiliary.auto_encoding_weight},
          {"dtype", training.bfloat16 ? "bf16" : "f32"},
          {"device", DeviceName(training.device)},
          {"threads", training.threads}};
}

Json ValidationSettings(const ValidationRecipe& validation) {
  return {{"interval", validation.interval},
          {"samples", validation.samples},
          {"prompt", validation.prompt},
          {"sample_tokens", validation.sample_tokens}};
}

Json CheckpointSettings(const CheckpointRecipe& checkpoint) {
  return {{"interval", checkpoint.interval},
          {"keep_last", checkpoint.keep_last},
          {"keep_best", checkpoint.keep_best}};
}

}  // namespace

// A field that is not listed here stays as it is written.
Json WrittenOut(const TrainRecipe& recipe) {
  Json document = recipe.document;
  document.erase("output");
  document["init_from"] = recipe.init_from;
  document["model"] = ModelConfigToJson(recipe.model);
  const auto write_out = [&document](const char* section, const Json& fields) {
    if (!document[section].is_object()) document[section] = Json::object();
    document[section].update(fields);
  };
  write_out("data", DataSettings(recipe.data));
  write_out("training", TrainingSettings(recipe.training));
  write_out("validation", ValidationSettings(recipe.validation));
  write_out("checkpoint", CheckpointSettings(recipe.checkpoint));
  return document;
}

Json WhatIsLearnt(const TrainRecipe& recipe) {
  Json settings = WrittenOut(recipe);
  for (const char* section : {"validation", "checkpoint"}) settings.erase(section);
  for (const char* key : {"stop_steps", "micro_batch_size", "threads", "device"}) {
    settings["training"].erase(key);
  }
  return settings;
}

}  // namespace blockformer
