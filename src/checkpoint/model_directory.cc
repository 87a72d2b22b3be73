#include "checkpoint/model_directory.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "base/shell_word.h"
#include "base/short_list.h"
#include "checkpoint/config_files.h"
#include "checkpoint/model_path.h"

namespace blockformer {
namespace {

bool IsPickled(const std::string& name) {
  return name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth");
}

// Training leaves other pickled files beside the weights.
bool HoldsPickledWeights(const std::string& name) {
  constexpr std::string_view kOtherPickledFiles[] = {"optimizer", "scheduler", "scaler",
                                                     "rng_state", "training_args"};
  return IsPickled(name) && std::ranges::none_of(kOtherPickledFiles, [&](std::string_view other) {
           return name.starts_with(other);
         });
}

constexpr char kPickledShard[] = "pytorch_model-";

// Writes the first file from the pickled ones that follow. With weights_only, torch.load runs none
// of the code that a pickled file may hold.
constexpr char kUnpickle[] =
    "python3 -c \"import sys, torch, safetensors.torch as s; s.save_file({k: v.clone() for f in "
    "sys.argv[2:] for k, v in torch.load(f, map_location='cpu', weights_only=True).items()}, "
    "sys.argv[1])\"";

[[noreturn]] void FailPickledFile(const std::string& path) {
  Fail(ErrorCode::kUnsupported,
       "{}: PyTorch's pickled files are not read; convert it first: {} {} {}", path, kUnpickle,
       ShellQuoted((std::filesystem::path(path).parent_path() / kWeightsFile).string()),
       ShellQuoted(path));
}

// One file of several does not hold a whole model.
[[noreturn]] void FailPickledShards(const std::string& directory) {
  Fail(ErrorCode::kUnsupported,
       "{0}/{1}*.bin: PyTorch's pickled files are not read; convert all of them first: {2} {3} "
       "{4}{1}*.bin",
       directory, kPickledShard, kUnpickle, ShellQuoted(directory + "/" + kWeightsFile),
       ShellQuoted(directory + "/"));
}

[[noreturn]] void FailWithoutWeights(const std::string& directory) {
  std::vector<std::string> pickled;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    if (HoldsPickledWeights(name)) pickled.push_back(name);
  }
  std::ranges::sort(pickled);
  if (!pickled.empty() && pickled[0].starts_with(kPickledShard)) FailPickledShards(directory);
  if (!pickled.empty()) FailPickledFile(directory + "/" + pickled[0]);
  Fail(ErrorCode::kNotFound, "{}: there is neither {} nor {}", directory, kWeightsFile,
       kWeightsIndexFile);
}

// An object without fields if the directory has no such file.
Json ReadGenerationJson(const std::string& directory) {
  const std::string path = directory + "/" + kGenerationConfigFile;
  return FileExists(path) ? ReadJsonFile(path) : Json::object();
}

}  // namespace

std::vector<std::string> WeightFiles(const std::string& path) {
  if (!IsDirectory(path)) {
    RequireNotPickled(path);
    return {path};
  }
  const std::string& directory = path;
  const std::string single = directory + "/" + kWeightsFile;
  if (FileExists(single)) return {single};
  const std::string index = directory + "/" + kWeightsIndexFile;
  if (!FileExists(index)) FailWithoutWeights(directory);
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

namespace {

// An index must name the shard that really holds each tensor.
void CheckIndex(const std::string& directory, const std::vector<SafetensorsFile>& files) {
  const std::string index = directory + "/" + kWeightsIndexFile;
  if (!IsDirectory(directory) || FileExists(directory + "/" + kWeightsFile)) return;
  const Json json = ReadJsonFile(index);
  for (const auto& entry : json.at("weight_map").items()) {
    const std::string& tensor = entry.key();
    const auto shard = entry.value().get<std::string>();
    const std::string path = directory + "/" + shard;
    const bool holds = std::any_of(files.begin(), files.end(), [&](const SafetensorsFile& file) {
      return file.path() == path && file.Contains(tensor);
    });
    Require(holds, ErrorCode::kCorrupt, "{}: weight_map.{}: {} does not hold this tensor", index,
            tensor, shard);
  }
}

bool IsFloatingPoint(DataType type) {
  return type == DataType::kF32 || type == DataType::kF16 || type == DataType::kBF16;
}

// Whether config.json says that linear layers are int8; what is no model directory has none.
bool SaysInt8(const std::string& path) {
  const std::string file = path + "/" + kConfigFile;
  if (!FileExists(file)) return false;
  const Json json = ReadJsonFile(file);
  const ObjectReader config(json, file);
  if (!config.Has(kOwnConfigKey)) return false;
  const ObjectReader own = config.Object(kOwnConfigKey);
  if (!own.Has(kQuantizationKey)) return false;
  const ObjectReader quantization = own.Object(kQuantizationKey);
  quantization.Choice<NumberType>("weights", {{"int8", NumberType::kInt8}});
  quantization.RejectUnknown();
  return true;
}

}  // namespace

// Unpickling a file runs whatever code its author put there, so it is left to its owner.
void RequireNotPickled(const std::string& path) {
  if (!IsDirectory(path) && IsPickled(path)) FailPickledFile(path);
}

SafetensorsWeights::SafetensorsWeights(const std::string& path, const ModelConfig& config)
    : ModelWeights(path), is_int8_(SaysInt8(path)) {
  for (const std::string& file : WeightFiles(path)) files_.emplace_back(file);
  CheckIndex(path, files_);
  for (const SafetensorsFile& file : files_) {
    for (const auto& [name, tensor] : file.tensors()) {
      Require(tensors_.emplace(name, &tensor).second, ErrorCode::kCorrupt,
              "{}: tensor {} also stands in another shard", file.path(), name);
    }
  }
  num_tensors_ = tensors_.size();
  std::vector<std::string> missing;
  std::set<std::string> known;
  for (const ParameterSpec& spec : ListParameters(config)) {
    known.insert(spec.name);
    known.insert(spec.aliases.begin(), spec.aliases.end());
    if (is_int8_ && spec.may_be_int8) {
      known.insert(
          {LinearName(spec.name) + kWeightScaleSuffix, LinearName(spec.name) + kInputScaleSuffix});
    }
    ResolveAliases(path, spec);
    if (tensors_.contains(spec.name)) {
      CheckTensor(path, spec);
      if (!spec.is_used) skipped_[spec.name] = "nothing reads it";
    } else if (spec.is_used) {
      missing.push_back(spec.name);
    }
  }
  Require(missing.empty(), ErrorCode::kCorrupt, "{}: tensors are missing: {}", path,
          ShortList(missing));
  SkipUnknown(path, known);
}

const TensorView* SafetensorsWeights::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

void SafetensorsWeights::CheckTensor(const std::string& path, const ParameterSpec& spec) const {
  const TensorView& tensor = *tensors_.at(spec.name);
  Require(tensor.shape == spec.shape, ErrorCode::kCorrupt,
          "{}: tensor {} has shape [{}]; its configuration asks for [{}]", path, spec.name,
          fmt::join(tensor.shape, ", "), fmt::join(spec.shape, ", "));
  if (is_int8_ && spec.may_be_int8) return CheckInt8(path, spec);
  Require(IsFloatingPoint(tensor.type), ErrorCode::kCorrupt,
          "{}: tensor {} is {}; F32, F16 or BF16 is wanted", path, spec.name,
          DataTypeName(tensor.type));
}

void SafetensorsWeights::CheckInt8(const std::string& path, const ParameterSpec& spec) const {
  const TensorView& tensor = *tensors_.at(spec.name);
  Require(tensor.type == DataType::kI8, ErrorCode::kCorrupt,
          "{}: tensor {} is {}; I8 is wanted, since {} says that weights are int8", path, spec.name,
          DataTypeName(tensor.type), kConfigFile);
  // Products of two values are summed up in pairs of 16 bits; -128 could overflow them.
  Require(std::memchr(tensor.bytes.data(), -128, tensor.bytes.size()) == nullptr,
          ErrorCode::kCorrupt, "{}: tensor {} holds -128; int8 weights are -127 to 127", path,
          spec.name);
  const std::string scale = LinearName(spec.name) + kWeightScaleSuffix;
  const std::string input_scale = LinearName(spec.name) + kInputScaleSuffix;
  Require(tensors_.contains(scale), ErrorCode::kCorrupt,
          "{}: tensor {} is int8 and its scales, {}, are missing", path, spec.name, scale);
  CheckScales(path, scale, spec.shape[0]);
  if (tensors_.contains(input_scale)) CheckScales(path, input_scale, spec.shape[1]);
}

void SafetensorsWeights::CheckScales(const std::string& path, const std::string& name,
                                     int64_t count) const {
  const TensorView& tensor = *tensors_.at(name);
  Require(tensor.type == DataType::kF32 && tensor.shape == std::vector<int64_t>{count},
          ErrorCode::kCorrupt, "{}: tensor {} is {} [{}]; F32 [{}] is wanted", path, name,
          DataTypeName(tensor.type), fmt::join(tensor.shape, ", "), count);
  for (const float scale : ToFloats(tensor, name)) {
    Require(scale > 0 && std::isfinite(scale), ErrorCode::kCorrupt,
            "{}: tensor {} holds {}; scales are above 0 and finite", path, name, scale);
  }
}

void SafetensorsWeights::SkipUnknown(const std::string& path, const std::set<std::string>& known) {
  std::vector<std::string> extra;
  for (const auto& [name, tensor] : tensors_) {
    if (known.contains(name)) continue;
    if (IsOldBuffer(name)) {
      skipped_[name] = "a buffer of an older version, not a weight";
    } else {
      extra.push_back(name);
    }
  }
  Require(extra.empty(), ErrorCode::kCorrupt,
          "{}: tensors that its configuration does not ask for: {}", path, ShortList(extra));
}

// A tensor may stand under any of its names; under several, all must hold the same.
void SafetensorsWeights::ResolveAliases(const std::string& path, const ParameterSpec& spec) {
  for (const std::string& alias : spec.aliases) {
    const auto found = tensors_.find(alias);
    if (found == tensors_.end()) continue;
    const auto [tensor, is_first] = tensors_.emplace(spec.name, found->second);
    if (is_first) continue;
    Require(std::ranges::equal(tensor->second->bytes, found->second->bytes), ErrorCode::kCorrupt,
            "{}: tensor {} differs from {}, with which it is tied", path, alias, spec.name);
    skipped_[alias] = "the same as " + spec.name;
  }
}

std::map<DataType, uint64_t> SafetensorsWeights::BytesByType() const {
  std::map<DataType, uint64_t> bytes;
  for (const SafetensorsFile& file : files_) {
    for (const auto& [name, tensor] : file.tensors()) bytes[tensor.type] += tensor.bytes.size();
  }
  return bytes;
}

ModelConfig ReadModelConfig(const std::string& directory) {
  RequireModelDirectory(directory);
  const std::string path = directory + "/" + kConfigFile;
  ModelConfig config = ModelConfigFromJson(ReadConfigJson(path), path);
  ReadGenerationConfig(directory, &config);
  return config;
}

Json ReadConfigJson(const std::string& path) {
  constexpr char kKey[] = "eos_token_id";
  Json config = ReadJsonFile(path);
  const auto eos = config.find(kKey);
  if (eos == config.end() || !eos->is_null()) return config;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const Json generation = ReadGenerationJson(folder.string());
  if (const Json ids = generation.value(kKey, Json()); !ids.is_null()) {
    *eos = ids;
  } else {
    *eos = 0;
    LogWarning("{}: {} is null: token 0 is taken for the end of text", path, kKey);
  }
  return config;
}

void ReadGenerationConfig(const std::string& directory, ModelConfig* config) {
  AddEosTokenIds(ReadGenerationJson(directory), directory + "/" + kGenerationConfigFile, config);
}

OrderedJson ReadSamplingDefaults(const std::string& directory) {
  const Json generation = ReadGenerationJson(directory);
  OrderedJson defaults = OrderedJson::object();
  for (const auto& [key, value] : generation.items()) {
    const bool names_tokens = key.ends_with("_token_id") || key == "suppress_tokens";
    const bool is_of_file = key.starts_with("_") || key == "transformers_version";
    if (!names_tokens && !is_of_file) defaults[key] = value;
  }
  return defaults;
}

const char* TorchDataTypeName(DataType type) {
  switch (type) {
    case DataType::kF16:
      return "float16";
    case DataType::kBF16:
      return "bfloat16";
    case DataType::kI8:
      return "int8";
    default:
      return "float32";
  }
}

void WriteModelConfig(const std::string& directory, const ModelConfig& config, DataType type,
                      const OrderedJson& sampling_defaults) {
  WriteConfigFiles(directory, MakeConfigFiles(config, type, sampling_defaults));
}

}  // namespace blockformer
