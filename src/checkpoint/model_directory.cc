#include "checkpoint/model_directory.h"

#include <algorithm>
#include <set>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr size_t kNamesInMessage = 8;

// Buffers that Hugging Face's GPT-NeoX wrote beside the parameters in older versions.
bool IsOldBuffer(const std::string& name) {
  return name.ends_with(".attention.bias") || name.ends_with(".attention.masked_bias") ||
         name.ends_with(".rotary_emb.inv_freq");
}

std::vector<std::string> WeightFiles(const std::string& directory) {
  const std::string single = directory + "/" + kWeightsFile;
  if (FileExists(single)) return {single};
  const std::string index = directory + "/" + kWeightsIndexFile;
  if (!FileExists(index)) {
    Require(!FileExists(directory + "/pytorch_model.bin"), ErrorCode::kUnsupported,
            "{}: pytorch_model.bin is not read; convert it to {} with the safetensors package",
            directory, kWeightsFile);
    Fail(ErrorCode::kNotFound, "{}: there is neither {} nor {}", directory, kWeightsFile,
         kWeightsIndexFile);
  }
  const Json json = ReadJsonFile(index);
  const ObjectReader reader(json, index);
  const Json& weight_map = reader.Raw("weight_map");
  if (!weight_map.is_object()) reader.FailField("weight_map", "an object is wanted");
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : weight_map.items()) {
    const std::string name = shard.is_string() ? shard.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos) {
      reader.FailField("weight_map." + tensor, "the name of a file in this directory is wanted");
    }
    shards.insert(directory + "/" + name);
  }
  return {shards.begin(), shards.end()};
}

// An index must name the shard that really holds each tensor.
void CheckIndex(const std::string& directory, const std::vector<SafetensorsFile>& files) {
  const std::string index = directory + "/" + kWeightsIndexFile;
  if (files.size() == 1 && files[0].path() == directory + "/" + kWeightsFile) return;
  const Json json = ReadJsonFile(index);
  for (const auto& [tensor, shard] : json.at("weight_map").items()) {
    const std::string path = directory + "/" + shard.get<std::string>();
    const bool holds = std::any_of(files.begin(), files.end(), [&](const SafetensorsFile& file) {
      return file.path() == path && file.Contains(tensor);
    });
    Require(holds, ErrorCode::kCorrupt, "{}: weight_map.{}: {} does not hold this tensor", index,
            tensor, shard.get<std::string>());
  }
}

bool IsFloatingPoint(DataType type) {
  return type == DataType::kF32 || type == DataType::kF16 || type == DataType::kBF16;
}

std::string ListOf(const std::vector<std::string>& names) {
  const size_t shown = std::min(names.size(), kNamesInMessage);
  const std::string list = fmt::format("{}", fmt::join(names.begin(), names.begin() + shown, ", "));
  return shown == names.size() ? list : fmt::format("{} and {} more", list, names.size() - shown);
}

}  // namespace

ModelWeights::ModelWeights(const std::string& directory, const ModelConfig& config) {
  for (const std::string& path : WeightFiles(directory)) files_.emplace_back(path);
  CheckIndex(directory, files_);
  for (const SafetensorsFile& file : files_) {
    for (const auto& [name, tensor] : file.tensors()) {
      Require(tensors_.emplace(name, &tensor).second, ErrorCode::kCorrupt,
              "{}: tensor {} also stands in another shard", file.path(), name);
    }
  }
  std::vector<std::string> missing;
  std::set<std::string> known;
  for (const ParameterSpec& spec : ListParameters(config)) {
    known.insert(spec.name);
    known.insert(spec.aliases.begin(), spec.aliases.end());
    ResolveAliases(directory, spec);
    const auto found = tensors_.find(spec.name);
    if (found == tensors_.end()) {
      if (spec.is_used) missing.push_back(spec.name);
      continue;
    }
    const TensorView& tensor = *found->second;
    Require(tensor.shape == spec.shape, ErrorCode::kCorrupt,
            "{}: tensor {} has shape [{}]; {} asks for [{}]", directory, spec.name,
            fmt::join(tensor.shape, ", "), kConfigFile, fmt::join(spec.shape, ", "));
    Require(IsFloatingPoint(tensor.type), ErrorCode::kCorrupt,
            "{}: tensor {} is {}; F32, F16 or BF16 is wanted", directory, spec.name,
            DataTypeName(tensor.type));
  }
  Require(missing.empty(), ErrorCode::kCorrupt, "{}: tensors are missing: {}", directory,
          ListOf(missing));
  std::vector<std::string> extra;
  for (const auto& [name, tensor] : tensors_) {
    if (known.count(name) == 0 && !IsOldBuffer(name)) extra.push_back(name);
  }
  Require(extra.empty(), ErrorCode::kCorrupt, "{}: tensors that {} does not ask for: {}", directory,
          kConfigFile, ListOf(extra));
}

// A tensor may stand under any of its names; under several, all must hold the same.
void ModelWeights::ResolveAliases(const std::string& directory, const ParameterSpec& spec) {
  for (const std::string& alias : spec.aliases) {
    const auto found = tensors_.find(alias);
    if (found == tensors_.end()) continue;
    const TensorView* tensor = tensors_.emplace(spec.name, found->second).first->second;
    Require(std::ranges::equal(tensor->bytes, found->second->bytes), ErrorCode::kCorrupt,
            "{}: tensor {} differs from {}, with which it is tied", directory, alias, spec.name);
  }
}

const TensorView& ModelWeights::Get(const std::string& name) const {
  const auto found = tensors_.find(name);
  Require(found != tensors_.end(), ErrorCode::kInternal, "there is no tensor {}", name);
  return *found->second;
}

ModelConfig ReadModelConfig(const std::string& directory) {
  Require(IsDirectory(directory), ErrorCode::kNotFound,
          "{}: is not a model directory (a directory with {} and {} is wanted)", directory,
          kConfigFile, kWeightsFile);
  const std::string path = directory + "/" + kConfigFile;
  return ModelConfigFromJson(ReadJsonFile(path), path);
}

void WriteModelConfig(const std::string& directory, const ModelConfig& config) {
  WriteFileAtomically(directory + "/" + kConfigFile, ModelConfigToJson(config).dump(2) + "\n");
  const OrderedJson generation = {{"bos_token_id", config.eos_token_id},
                                  {"eos_token_id", config.eos_token_id},
                                  {"pad_token_id", config.pad_token_id}};
  WriteFileAtomically(directory + "/" + kGenerationConfigFile, generation.dump(2) + "\n");
}

}  // namespace blockformer
