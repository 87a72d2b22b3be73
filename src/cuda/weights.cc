#include "cuda/weights.h"

#include <fmt/format.h>

#include <cstring>

#include "base/error.h"
#include "config/parameters.h"

namespace blockformer::cuda {
namespace {

uint16_t ToBf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// A linear layer's numbers on the host.
struct Dense {
  int64_t out = 0;
  int64_t in = 0;
  std::vector<float> weight;  // [out, in]
  std::vector<float> bias;    // [out], or empty

  // What the layer is behind a norm that does not multiply by its gain nor add its bias.
  void Fold(const std::vector<float>& gain, const std::vector<float>& norm_bias) {
    for (int64_t o = 0; o < out; ++o) {
      double sum = bias.empty() ? 0 : bias[static_cast<size_t>(o)];
      for (int64_t i = 0; i < in; ++i) {
        float& w = weight[static_cast<size_t>(o * in + i)];
        sum += static_cast<double>(w) * norm_bias[static_cast<size_t>(i)];
        w *= gain[static_cast<size_t>(i)];
      }
      if (bias.empty()) bias.resize(static_cast<size_t>(out));
      bias[static_cast<size_t>(o)] = static_cast<float>(sum);
    }
  }
};

// The layer that adds up what both make of their inputs side by side.
Dense Join(const Dense& a, const Dense& b) {
  Dense joint = {a.out, a.in + b.in, {}, a.bias};
  for (int64_t o = 0; o < a.out; ++o) {
    const auto from_a = a.weight.begin() + o * a.in;
    const auto from_b = b.weight.begin() + o * b.in;
    joint.weight.insert(joint.weight.end(), from_a, from_a + a.in);
    joint.weight.insert(joint.weight.end(), from_b, from_b + b.in);
    joint.bias[static_cast<size_t>(o)] += b.bias[static_cast<size_t>(o)];
  }
  return joint;
}

class Loader {
 public:
  Loader(const ReadWeights& read, const GemmLibrary* library)
      : read_(read),
        library_(library),
        type_(read.type == NumberType::kF32 ? Element::kF32 : Element::kBf16) {}

  Element type() const { return type_; }

  Buffer Upload(const std::vector<float>& values, Element type) {
    Buffer buffer(std::ssize(values) * ElementBytes(type));
    if (type == Element::kF32) {
      stream_.CopyToDevice(buffer.data(), values.data(), buffer.bytes());
      stream_.Wait();
      return buffer;
    }
    std::vector<uint16_t> rounded(values.size());
    for (size_t i = 0; i < values.size(); ++i) rounded[i] = ToBf16(values[i]);
    stream_.CopyToDevice(buffer.data(), rounded.data(), buffer.bytes());
    stream_.Wait();
    return buffer;
  }

  Array<float> UploadArray(const std::vector<float>& values) {
    Array<float> array(std::ssize(values));
    stream_.CopyToDevice(array.data(), values.data(), array.size() * 4);
    stream_.Wait();
    return array;
  }

  Buffer Table(const std::string& name) { return Upload(read_(name), type_); }

  Dense ReadDense(const std::string& name, int64_t out, int64_t in, bool has_bias = true) const {
    return {out, in, read_(name + ".weight"),
            has_bias ? read_(name + ".bias") : std::vector<float>()};
  }

  // `shape` says how x and y lie; the rest follows from the layer.
  Linear MakeLinear(const Dense& dense, GemmShape shape) {
    shape.out = dense.out;
    shape.in = dense.in;
    shape.type = type_;
    shape.has_bias = !dense.bias.empty();
    Linear linear;
    linear.gemm = Gemm(library_, shape);
    linear.weight = Upload(dense.weight, type_);
    if (shape.has_bias) linear.bias = Upload(dense.bias, shape.y_type);
    return linear;
  }
  // Rows of x and y that hold nothing else; y is f32.
  Linear MakeLinear(const Dense& dense) {
    GemmShape shape;
    shape.x_stride = dense.in;
    shape.y_stride = dense.out;
    return MakeLinear(dense, shape);
  }

  StackWeights LoadStack(const TransformerConfig& config, const std::string& prefix) {
    StackWeights stack;
    stack.width = config.hidden_size;
    stack.inner = config.intermediate_size;
    stack.layout = HeadLayout::Grouped(config.num_heads, config.num_heads, config.HeadSize());
    stack.epsilon = static_cast<float>(config.layer_norm_eps);
    stack.rotary_size = config.RotarySize();
    stack.rotary_base = config.rotary_base;
    for (int64_t i = 0; i < config.num_layers; ++i) {
      stack.layers.push_back(LoadLayer(config, stack, fmt::format("{}.layers.{}.", prefix, i)));
    }
    stack.final_gain = UploadArray(read_(prefix + ".final_layer_norm.weight"));
    stack.final_bias = UploadArray(read_(prefix + ".final_layer_norm.bias"));
    return stack;
  }

 private:
  StackWeights::Layer LoadLayer(const TransformerConfig& config, const StackWeights& stack,
                                const std::string& name) {
    const int64_t width = stack.width;
    const int64_t joint = width + stack.inner;
    const auto norm = [&](const char* part, Dense* dense) {
      dense->Fold(read_(name + part + ".weight"), read_(name + part + ".bias"));
    };
    StackWeights::Layer layer;
    Dense qkv = ReadDense(name + "attention.query_key_value", stack.layout.width, width);
    norm("input_layernorm", &qkv);
    GemmShape qkv_shape;
    qkv_shape.x_stride = width;
    qkv_shape.y_stride = stack.layout.width;
    qkv_shape.y_type = type_;
    layer.qkv = MakeLinear(qkv, qkv_shape);

    Dense up = ReadDense(name + "mlp.dense_h_to_4h", stack.inner, width);
    norm("post_attention_layernorm", &up);
    GemmShape up_shape;
    up_shape.x_stride = width;
    up_shape.y_stride = joint;
    up_shape.y_column = width;
    up_shape.y_type = type_;
    up_shape.finish = Finish::kGelu;
    layer.up = MakeLinear(up, up_shape);

    const Dense dense = ReadDense(name + "attention.dense", width, width);
    const Dense down = ReadDense(name + "mlp.dense_4h_to_h", width, stack.inner);
    GemmShape tail_shape;
    tail_shape.x_stride = joint;
    tail_shape.y_stride = width;
    tail_shape.finish = Finish::kAdd;
    if (config.parallel_residual) {
      layer.tail = MakeLinear(Join(dense, down), tail_shape);
      return layer;
    }
    layer.dense = MakeLinear(dense, tail_shape);
    tail_shape.x_column = width;
    layer.down = MakeLinear(down, tail_shape);
    return layer;
  }

  const ReadWeights& read_;
  const GemmLibrary* library_;
  Element type_;
  Stream stream_;
};

EmbedderWeights LoadEmbedder(const ModelConfig& config, Loader* loader, const ReadWeights& read) {
  EmbedderWeights embedder;
  if (config.kind == ModelKind::kVanilla) {
    embedder.width = config.decoder.hidden_size;
    embedder.table = loader->Table("gpt_neox.embed_in.weight");
    return embedder;
  }
  embedder.width = config.embedder.hidden_size;
  embedder.table = loader->Table("embedder.embeddings.weight");
  switch (config.embedder.projection) {
    case EmbedderProjection::kConcat:
      return embedder;
    case EmbedderProjection::kSum:
      embedder.pool = Pool::kSum;
      return embedder;
    case EmbedderProjection::kMean:
      embedder.pool = Pool::kMean;
      return embedder;
    case EmbedderProjection::kConv1d:
      break;
  }
  // A Conv1d whose stride is its kernel is a linear layer over the concatenated vectors: weights
  // [out, in, kernel] become [out, kernel * in].
  const int64_t kernel = config.block_length;
  const int64_t in = embedder.width;
  const std::vector<float> weights = read("embedder.projection_layer.weight");
  Dense dense = {config.decoder.hidden_size, kernel * in, std::vector<float>(weights.size()),
                 read("embedder.projection_layer.bias")};
  for (size_t i = 0; i < weights.size(); ++i) {
    const int64_t index = static_cast<int64_t>(i);
    const int64_t row = index / (in * kernel);
    const int64_t column = index / kernel % in;
    dense.weight[static_cast<size_t>((row * kernel + index % kernel) * in + column)] = weights[i];
  }
  embedder.convolution = loader->MakeLinear(dense);
  return embedder;
}

TokenDecoderWeights LoadTokenDecoder(const ModelConfig& config, Loader* loader) {
  TokenDecoderWeights weights;
  weights.stack = loader->LoadStack(config.token_decoder, kTokenDecoderPrefix);
  weights.table = loader->Table(std::string(kTokenDecoderPrefix) + ".embed_in.weight");
  if (config.expansion == Expansion::kLayer) {
    weights.expansion = loader->MakeLinear(loader->ReadDense(
        "token_decoder.expansion_layer", config.prefix_length * config.token_decoder.hidden_size,
        config.decoder.hidden_size));
  }
  const bool is_prefix = config.token_decoder_type == TokenDecoderType::kPrefix;
  weights.inputs.width = config.token_decoder.hidden_size;
  weights.inputs.lead = is_prefix ? config.prefix_length : 1;
  weights.inputs.adds_vectors = !is_prefix;
  weights.inputs.begin_id = static_cast<int32_t>(config.begin_token_id);
  weights.inputs.vectors = config.prefix_length;
  return weights;
}

void RequireHeads(const TransformerConfig& config, const char* part) {
  Require(config.HeadSize() <= kMaxHeadSize, ErrorCode::kUnsupported,
          "{}: heads of {} dimensions are not supported on a GPU; at most {} are", part,
          config.HeadSize(), kMaxHeadSize);
}

}  // namespace

void RequireSupported(const ModelConfig& config, NumberType type) {
  Require(type == NumberType::kF32 || type == NumberType::kBf16, ErrorCode::kUnsupported,
          "weights of {} are not supported on a GPU; f32 and bf16 are", NumberTypeName(type));
  RequireHeads(config.decoder, "decoder");
  if (config.kind == ModelKind::kVanilla) return;
  Require(config.embedder.type == EmbedderType::kLookup, ErrorCode::kUnsupported,
          "a RoBERTa embedder is not supported on a GPU; --device cpu runs this model");
  Require(config.token_decoder_type != TokenDecoderType::kCrossAttention, ErrorCode::kUnsupported,
          "a T5 token decoder is not supported on a GPU; --device cpu runs this model");
  RequireHeads(config.token_decoder, "token_decoder");
}

ModelWeights LoadWeights(const ModelConfig& config, const ReadWeights& read,
                         const GemmLibrary* library) {
  RequireSupported(config, read.type);
  Loader loader(read, library);
  ModelWeights weights;
  weights.type = loader.type();
  weights.embedder = LoadEmbedder(config, &loader, read);
  weights.decoder = loader.LoadStack(config.decoder, DecoderPrefix(config));
  const bool is_vanilla = config.kind == ModelKind::kVanilla;
  if (!is_vanilla) weights.token_decoder = LoadTokenDecoder(config, &loader);
  weights.head = loader.MakeLinear(
      loader.ReadDense(is_vanilla ? "embed_out" : "token_decoder.embed_out", config.vocab_size,
                       is_vanilla ? config.decoder.hidden_size : config.token_decoder.hidden_size,
                       /*has_bias=*/false));
  return weights;
}

}  // namespace blockformer::cuda
