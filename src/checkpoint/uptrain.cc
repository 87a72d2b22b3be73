#include "checkpoint/uptrain.h"

#include <functional>
#include <string>

#include "base/error.h"

namespace blockformer {
namespace {

int64_t BlockLayers(const ModelConfig& vanilla, const UptrainOptions& options) {
  const int64_t layers = vanilla.decoder.num_layers;
  Require(options.block_layers == 0 || options.method == UptrainMethod::kPartition,
          ErrorCode::kInvalidArgument, "block layers can be chosen with the method partition only");
  switch (options.method) {
    case UptrainMethod::kPartition: {
      const int64_t count = options.block_layers > 0 ? options.block_layers : (layers + 1) / 2;
      Require(count < layers, ErrorCode::kInvalidArgument,
              "{} of the vanilla model's {} layers for the block decoder leave the token decoder "
              "none",
              count, layers);
      return count;
    }
    case UptrainMethod::kSkip:
      Require(layers % 2 == 0, ErrorCode::kInvalidArgument,
              "the method skip needs an even number of layers; the vanilla model has {}", layers);
      return layers / 2;
    case UptrainMethod::kDuplicate:
      return layers;
  }
  return layers;
}

// The vanilla model's layer that becomes layer `index` of the block decoder, or, counted from
// `first` on, of the token decoder.
int64_t VanillaLayer(UptrainMethod method, int64_t index, int64_t first) {
  switch (method) {
    case UptrainMethod::kPartition:
      return first + index;
    case UptrainMethod::kSkip:
      return 2 * index;
    case UptrainMethod::kDuplicate:
      return index;
  }
  return index;
}

// With less than two blocks nothing is ever predicted: the first block has no context.
void RequireTwoBlocks(const ModelConfig& vanilla, int64_t block_length) {
  constexpr int64_t kMinBlocks = 2;
  const int64_t longest = vanilla.max_length / kMinBlocks;
  Require(longest >= 1, ErrorCode::kInvalidArgument,
          "the vanilla model's context has {} token; at least {} are wanted", vanilla.max_length,
          kMinBlocks);
  Require(
      block_length >= 1 && block_length <= longest, ErrorCode::kInvalidArgument,
      "`block_length`: {}; 1 to {} is possible, as the vanilla model's context of {} tokens has "
      "to hold {} blocks",
      block_length, longest, vanilla.max_length, kMinBlocks);
}

class Uptrainer {
 public:
  Uptrainer(const ModelConfig& block, UptrainMethod method)
      : block_(block), method_(method), vanilla_(block.token_decoder, "") {}

  // The name of the vanilla parameter that a parameter of the block model is a copy of; empty if it
  // is made.
  std::string Origin(const ParameterSpec& spec) const {
    const std::string suffix = spec.name.substr(spec.name.rfind('.'));
    if (spec.part == ModelPart::kEmbedder) {
      return spec.is_vocabulary_table ? vanilla_.Outer(Role::kTable) + suffix : "";
    }
    if (spec.role == Role::kNone) return "";
    const bool in_decoder = spec.part == ModelPart::kDecoder;
    if (spec.layer >= 0) {
      const int64_t first = in_decoder ? 0 : block_.decoder.num_layers;
      return vanilla_.Layer(VanillaLayer(method_, spec.layer, first), spec.role) + suffix;
    }
    return in_decoder ? "" : vanilla_.Outer(spec.role) + suffix;
  }

  // The value of a parameter that is no copy.
  std::function<float(int64_t)> Value(const ParameterSpec& spec) const {
    if (spec.name == std::string(kProjectionLayer) + ".weight") return MeanProjection();
    if (spec.name == std::string(kExpansionLayer) + ".weight") return IdentityExpansion();
    const bool is_gain = spec.role == Role::kFinalNorm && spec.name.ends_with(".weight");
    return [value = is_gain ? 1.0f : 0.0f](int64_t) { return value; };
  }

 private:
  // [width, width, block_length]: 1 / block_length where both widths' indices agree.
  std::function<float(int64_t)> MeanProjection() const {
    const int64_t length = block_.block_length;
    const int64_t width = block_.decoder.hidden_size;
    return [length, width](int64_t index) {
      const int64_t position = index / length;
      return position / width == position % width
                 ? static_cast<float>(1.0 / static_cast<double>(length))
                 : 0.0f;
    };
  }

  // [prefix_length * width, width, 1]: an identity matrix for each prefix vector.
  std::function<float(int64_t)> IdentityExpansion() const {
    const int64_t width = block_.decoder.hidden_size;
    return
        [width](int64_t index) { return (index / width) % width == index % width ? 1.0f : 0.0f; };
  }

  const ModelConfig& block_;
  UptrainMethod method_;
  StackNames vanilla_;
};

}  // namespace

ModelConfig UptrainedConfig(const ModelConfig& vanilla, const UptrainOptions& options) {
  Require(vanilla.kind == ModelKind::kVanilla, ErrorCode::kInvalidArgument,
          "only a vanilla model can be uptrained; the source is a block model");
  RequireTwoBlocks(vanilla, options.block_length);
  ModelConfig block = vanilla;
  block.kind = ModelKind::kBlock;
  block.block_length = options.block_length;
  block.max_length -= block.max_length % block.block_length;  // training takes whole blocks
  block.prefix_length = options.prefix_length;
  block.embedder.projection = EmbedderProjection::kConv1d;
  block.embedder.hidden_size = vanilla.decoder.hidden_size;
  block.token_decoder = vanilla.decoder;
  block.decoder.tied_head = false;  // it has none
  block.bos_token_id = -1;
  block.decoder.num_layers = BlockLayers(vanilla, options);
  block.token_decoder.num_layers = options.method == UptrainMethod::kPartition
                                       ? vanilla.decoder.num_layers - block.decoder.num_layers
                                       : block.decoder.num_layers;
  return ModelConfigFromJson(Json(ModelConfigToJson(block)), "the uptrained model");
}

std::vector<WeightSource> UptrainedWeights(const ModelConfig& block, UptrainMethod method,
                                           const ModelWeights& vanilla, DataType type) {
  const Uptrainer uptrainer(block, method);
  std::vector<WeightSource> weights;
  for (const ParameterSpec& spec : ListParameters(block)) {
    const std::string origin = uptrainer.Origin(spec);
    WeightSource weight;
    if (origin.empty()) {
      weight.shape = spec.shape;
      weight.type = type;
      weight.value = uptrainer.Value(spec);
    } else {
      weight = vanilla.Source(origin);
    }
    weight.name = spec.name;
    weight.in_checksum = spec.is_used;
    weights.push_back(std::move(weight));
  }
  return weights;
}

}  // namespace blockformer
