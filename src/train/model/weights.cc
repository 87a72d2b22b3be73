#include "train/model/weights.h"

#include "base/error.h"
#include "checkpoint/model_directory.h"
#include "checkpoint/safetensors.h"
#include "config/field_difference.h"
#include "config/parameters.h"

namespace blockformer::train {
namespace {

DataType TypeOf(const torch::Tensor& tensor, const std::string& name) {
  if (tensor.scalar_type() == torch::kFloat32) return DataType::kF32;
  if (tensor.scalar_type() == torch::kInt64) return DataType::kI64;
  Fail(ErrorCode::kInternal, "{}: tensors of type {} are not written", name,
       torch::toString(tensor.scalar_type()));
}

// `tensor` must be contiguous and on the CPU, and outlive the view.
TensorView ViewOf(const torch::Tensor& tensor, const std::string& name) {
  return {TypeOf(tensor, name),
          tensor.sizes().vec(),
          {static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()}};
}

// Copies file data of the tensor's shape and type into it.
void Fill(const torch::Tensor& tensor, const TensorView& view, const std::string& name) {
  torch::NoGradGuard no_gradients;
  const torch::Tensor buffer = torch::empty(view.shape, tensor.scalar_type());
  const auto count = static_cast<size_t>(buffer.numel());
  if (TypeOf(tensor, name) == DataType::kF32) {
    const std::span values(buffer.data_ptr<float>(), count);
    ConvertToFloat(view, name, values);
    RequireFinite(values, name);
  } else {
    ConvertToInt64(view, name, {buffer.data_ptr<int64_t>(), count});
  }
  tensor.detach().copy_(buffer);
}

}  // namespace

void WriteTensors(const std::string& path, const NamedTensors& tensors) {
  std::vector<torch::Tensor> buffers;  // on the CPU, alive until written
  std::vector<NamedTensor> views;
  for (const auto& [name, tensor] : tensors) {
    buffers.push_back(tensor.detach().cpu().contiguous());
    views.push_back({name, ViewOf(buffers.back(), name)});
  }
  WriteSafetensors(path, views, {{"format", "pt"}});  // transformers asks for this
}

void ReadTensors(const std::string& path, const NamedTensors& tensors, const std::string& ignored) {
  const SafetensorsFile file(path);
  const size_t count = file.tensors().size() - (file.Contains(ignored) ? 1 : 0);
  Require(count == tensors.size(), ErrorCode::kCorrupt, "{}: holds {} tensors; {} are wanted", path,
          count, tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const TensorView& view = file.Get(name);
    Require(view.shape == tensor.sizes().vec() && view.type == TypeOf(tensor, name),
            ErrorCode::kCorrupt, "{}: tensor {} is {} [{}]; {} [{}] is wanted", path, name,
            DataTypeName(view.type), fmt::join(view.shape, ", "),
            DataTypeName(TypeOf(tensor, name)), fmt::join(tensor.sizes().vec(), ", "));
    Fill(tensor, view, path + ": tensor " + name);
  }
}

void SaveWeights(const LanguageModel& model, const std::string& directory) {
  const auto parameters = model.named_parameters();
  NamedTensors tensors;
  for (const ParameterSpec& spec : ListParameters(model.config())) {
    tensors.emplace_back(spec.name,
                         spec.is_used ? parameters[spec.name] : torch::zeros(spec.shape));
  }
  WriteTensors(directory + "/" + kWeightsFile, tensors);
}

void LoadWeights(const std::string& directory, LanguageModel& model) {
  const SafetensorsWeights weights(directory, model.config());
  Require(!weights.is_int8(), ErrorCode::kUnsupported,
          "{}: has int8 weights; train from the f32 or bf16 model it was made from", directory);
  for (const auto& parameter : model.named_parameters()) {
    const torch::Tensor& tensor = parameter.value();
    const torch::Tensor buffer = torch::empty(tensor.sizes(), torch::kFloat32);
    const auto count = static_cast<size_t>(buffer.numel());
    weights.ReadFloats(parameter.key(), {buffer.data_ptr<float>(), count});
    torch::NoGradGuard no_gradients;
    tensor.detach().copy_(buffer);
  }
}

void LoadInitialWeights(const std::string& directory, LanguageModel& model) {
  ModelConfig found = ReadModelConfig(directory);
  Require(found.kind == model.config().kind, ErrorCode::kInvalidArgument,
          "init_from: {}: one of this model and the recipe's is vanilla and the other is not; "
          "blockformer convert --uptrain makes a block model of a vanilla one",
          directory);
  found.max_length = model.config().max_length;
  found.padding = model.config().padding;
  found.bos_token_id = model.config().bos_token_id;
  for (const FieldDifference& difference :
       FindDifferences(ModelConfigToJson(model.config()), ModelConfigToJson(found))) {
    Fail(ErrorCode::kInvalidArgument,
         "init_from: {}: has {} at {} of its config.json, and the recipe's model {}", directory,
         difference.second.value_or("nothing"), difference.pointer,
         difference.first.value_or("nothing"));
  }
  LoadWeights(directory, model);
}

}  // namespace blockformer::train
