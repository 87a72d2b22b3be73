#include "checkpoint/model_weights.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace blockformer {
namespace {

std::string TensorPlace(const std::string& path, const std::string& name) {
  return path + ": tensor " + name;
}

}  // namespace

const TensorView& ModelWeights::Get(const std::string& name) const {
  const TensorView* tensor = Find(name);
  Require(tensor != nullptr, ErrorCode::kInternal, "there is no tensor {}", name);
  return *tensor;
}

WeightSource ModelWeights::Source(const std::string& name) const {
  WeightSource source;
  source.name = name;
  source.stored = Get(name);
  source.shape = source.stored.shape;
  source.type = source.stored.type;
  if (source.stored.bytes.empty()) source.load = [this, name] { return Read(name); };
  return source;
}

Int8Linear ModelWeights::GetInt8(const std::string& name) const {
  const TensorView& weight = Get(name + ".weight");
  Int8Linear linear;
  linear.out = weight.shape[0];
  linear.in = weight.shape[1];
  linear.values.resize(weight.bytes.size());
  std::memcpy(linear.values.data(), weight.bytes.data(), weight.bytes.size());
  linear.scales = ToFloats(Get(name + kWeightScaleSuffix), name);
  const std::string input_scale = name + kInputScaleSuffix;
  linear.input_scales = Contains(input_scale) ? ToFloats(Get(input_scale), input_scale)
                                              : std::vector<float>(linear.in, 1);
  return linear;
}

std::vector<float> ModelWeights::Floats(const std::string& name) const {
  const TensorView& tensor = Get(name);
  if (tensor.type == DataType::kI8) {
    std::vector<float> values = Dequantize(GetInt8(LinearName(name)));
    RequireFinite(values, TensorPlace(path_, name));
    return values;
  }
  int64_t elements = 1;
  for (const int64_t size : tensor.shape) elements *= size;
  std::vector<float> values(elements);
  ReadFloats(name, values);
  return values;
}

void ModelWeights::ReadFloats(const std::string& name, std::span<float> out) const {
  constexpr size_t kPiece = size_t{1} << 14;  // elements that are checked while they are cached
  const MadeTensor made = Read(name);
  const TensorView& tensor = made.view;
  const auto bytes = static_cast<size_t>(ElementBytes(tensor.type));
  for (size_t begin = 0; begin < out.size(); begin += kPiece) {
    const std::span<float> piece = out.subspan(begin, std::min(kPiece, out.size() - begin));
    const TensorView part = {tensor.type,
                             {static_cast<int64_t>(piece.size())},
                             tensor.bytes.subspan(begin * bytes, piece.size() * bytes)};
    ConvertToFloat(part, name, piece);
    RequireFinite(piece, TensorPlace(path_, name), begin);
  }
}

}  // namespace blockformer
