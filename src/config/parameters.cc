#include "config/parameters.h"

#include <cmath>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr double kInitStddev = 0.02;

class ParameterList {
 public:
  void SetPart(ModelPart part) { part_ = part; }

  ParameterSpec& Add(std::string name, std::vector<int64_t> shape, double init_stddev,
                     double init_constant = 0) {
    ParameterSpec spec;
    spec.name = std::move(name);
    spec.shape = std::move(shape);
    spec.part = part_;
    spec.init_stddev = init_stddev;
    spec.init_constant = init_constant;
    specs_.push_back(std::move(spec));
    return specs_.back();
  }

  ParameterSpec& AddTable(const std::string& name, int64_t vocab_size, int64_t width) {
    ParameterSpec& spec = Add(name, {vocab_size, width}, kInitStddev);
    spec.is_vocabulary_table = true;
    return spec;
  }

  void AddLinear(const std::string& name, int64_t out, int64_t in) {
    Add(name + ".weight", {out, in}, kInitStddev);
    Add(name + ".bias", {out}, 0);
  }

  void AddNorm(const std::string& name, int64_t width) {
    Add(name + ".weight", {width}, 0, 1);
    Add(name + ".bias", {width}, 0);
  }

  void AddConv1d(const std::string& name, int64_t out, int64_t in, int64_t kernel) {
    Add(name + ".weight", {out, in, kernel}, 1.0 / std::sqrt(static_cast<double>(in * kernel)));
    Add(name + ".bias", {out}, 0);
  }

  void AddLayers(const std::string& prefix, const TransformerConfig& config) {
    const int64_t width = config.hidden_size;
    for (int64_t i = 0; i < config.num_layers; ++i) {
      const std::string layer = fmt::format("{}.layers.{}.", prefix, i);
      AddNorm(layer + "input_layernorm", width);
      AddNorm(layer + "post_attention_layernorm", width);
      AddLinear(layer + "attention.query_key_value", 3 * width, width);
      AddLinear(layer + "attention.dense", width, width);
      AddLinear(layer + "mlp.dense_h_to_4h", config.intermediate_size, width);
      AddLinear(layer + "mlp.dense_4h_to_h", width, config.intermediate_size);
    }
    AddNorm(prefix + ".final_layer_norm", width);
  }

  std::vector<ParameterSpec> Take() { return std::move(specs_); }

 private:
  ModelPart part_ = ModelPart::kDecoder;
  std::vector<ParameterSpec> specs_;
};

double LayerWeights(const TransformerConfig& config) {
  const double width = static_cast<double>(config.hidden_size);
  return 4 * width * width + 2 * width * static_cast<double>(config.intermediate_size);
}

// Multiply-adds of one position that attends to `keys` positions.
double PositionMultiplyAdds(const TransformerConfig& config, double keys) {
  const double attention = 2 * static_cast<double>(config.hidden_size) * keys;
  return static_cast<double>(config.num_layers) * (LayerWeights(config) + attention);
}

// Multiply-adds for `positions` positions that attend causally among themselves.
double StackMultiplyAdds(const TransformerConfig& config, double positions) {
  return positions * PositionMultiplyAdds(config, (positions + 1) / 2);
}

// Multiply-adds of a block's embedder.
double EmbedderMultiplyAdds(const ModelConfig& config) {
  if (config.embedder.projection != EmbedderProjection::kConv1d) return 0;
  return static_cast<double>(config.embedder.hidden_size * config.block_length *
                             config.decoder.hidden_size);
}

// Multiply-adds that make a block's tokens from its context embedding, output head included.
double TokenDecoderMultiplyAdds(const ModelConfig& config) {
  const double width = static_cast<double>(config.token_decoder.hidden_size);
  const double length = static_cast<double>(config.block_length);
  const double prefix = static_cast<double>(config.prefix_length);
  const double expansion = config.expansion == Expansion::kLayer
                               ? static_cast<double>(config.decoder.hidden_size) * width * prefix
                               : 0;
  return expansion + StackMultiplyAdds(config.token_decoder, prefix + length - 1) +
         length * width * static_cast<double>(config.vocab_size);
}

double HeadMultiplyAdds(const ModelConfig& config) {
  return static_cast<double>(config.decoder.hidden_size * config.vocab_size);
}

}  // namespace

int64_t ParameterSpec::NumElements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

std::string DecoderPrefix(const ModelConfig& config) {
  return config.kind == ModelKind::kVanilla ? "gpt_neox" : "block_decoder.gpt_neox";
}

std::vector<ParameterSpec> ListParameters(const ModelConfig& config) {
  ParameterList list;
  const int64_t width = config.decoder.hidden_size;
  if (config.kind == ModelKind::kVanilla) {
    list.AddTable("gpt_neox.embed_in.weight", config.vocab_size, width);
    list.AddLayers("gpt_neox", config.decoder);
    list.AddTable("embed_out.weight", config.vocab_size, width);
    return list.Take();
  }
  list.SetPart(ModelPart::kEmbedder);
  list.AddTable("embedder.embeddings.weight", config.vocab_size, config.embedder.hidden_size);
  if (config.embedder.projection == EmbedderProjection::kConv1d) {
    list.AddConv1d("embedder.projection_layer", width, config.embedder.hidden_size,
                   config.block_length);
  }
  list.SetPart(ModelPart::kDecoder);
  list.AddTable("block_decoder.gpt_neox.embed_in.weight", config.vocab_size, width).is_used = false;
  list.AddLayers("block_decoder.gpt_neox", config.decoder);
  list.SetPart(ModelPart::kTokenDecoder);
  const int64_t token_width = config.token_decoder.hidden_size;
  if (config.expansion == Expansion::kLayer) {
    list.AddConv1d("token_decoder.expansion_layer", token_width * config.prefix_length, width, 1);
  }
  list.AddTable("token_decoder.gpt_neox.embed_in.weight", config.vocab_size, token_width);
  list.AddLayers(kTokenDecoderPrefix, config.token_decoder);
  list.AddTable("token_decoder.embed_out.weight", config.vocab_size, token_width);
  return list.Take();
}

ParameterCounts CountParameters(const ModelConfig& config) {
  ParameterCounts counts;
  for (const ParameterSpec& spec : ListParameters(config)) {
    const int64_t elements = spec.NumElements();
    counts.total += elements;
    (spec.is_used ? counts.used : counts.unused) += elements;
    if (spec.is_vocabulary_table) continue;
    counts.non_embedding += elements;
    (spec.part == ModelPart::kEmbedder  ? counts.embedder
     : spec.part == ModelPart::kDecoder ? counts.decoder
                                        : counts.token_decoder) += elements;
  }
  return counts;
}

double MultiplyAddsPerToken(const ModelConfig& config, int64_t context) {
  const double tokens = static_cast<double>(context);
  if (config.kind == ModelKind::kVanilla) {
    return StackMultiplyAdds(config.decoder, tokens) / tokens + HeadMultiplyAdds(config);
  }
  const double length = static_cast<double>(config.block_length);
  const double blocks = std::ceil(tokens / length);
  return (EmbedderMultiplyAdds(config) + StackMultiplyAdds(config.decoder, blocks) / blocks +
          TokenDecoderMultiplyAdds(config)) /
         length;
}

double PrefillMultiplyAdds(const ModelConfig& config, int64_t length) {
  const double tokens = static_cast<double>(length);
  if (config.kind == ModelKind::kVanilla) return StackMultiplyAdds(config.decoder, tokens);
  const double blocks = std::ceil(tokens / static_cast<double>(config.block_length));
  return blocks * EmbedderMultiplyAdds(config) + StackMultiplyAdds(config.decoder, blocks);
}

double DecodeMultiplyAddsPerToken(const ModelConfig& config, int64_t context) {
  const double tokens = static_cast<double>(context);
  if (config.kind == ModelKind::kVanilla) {
    return PositionMultiplyAdds(config.decoder, tokens) + HeadMultiplyAdds(config);
  }
  const double length = static_cast<double>(config.block_length);
  return (EmbedderMultiplyAdds(config) + PositionMultiplyAdds(config.decoder, tokens / length) +
          TokenDecoderMultiplyAdds(config)) /
         length;
}

double KvBytesPerToken(const ModelConfig& config, int64_t bytes_per_element) {
  const double per_position = 2.0 * static_cast<double>(config.decoder.num_layers) *
                              static_cast<double>(config.decoder.hidden_size) *
                              static_cast<double>(bytes_per_element);
  return config.kind == ModelKind::kVanilla
             ? per_position
             : per_position / static_cast<double>(config.block_length);
}

}  // namespace blockformer
