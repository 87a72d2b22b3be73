#include "cuda/weights.h"

#include <fmt/format.h>

#include <cstring>

#include "base/bf16.h"
#include "base/error.h"
#include "config/parameters.h"
#include "config/stack.h"

namespace blockformer::cuda {
namespace {

// A linear layer's numbers on the host.
struct Dense {
  int64_t out = 0;
  int64_t in = 0;
  std::vector<float> weight;  // [out, in]
  std::vector<float> bias;    // [out], or empty

  // What the layer is behind a norm that does not multiply by its gain nor add its bias.
  // Without one, `norm_bias` is empty.
  void Fold(const std::vector<float>& gain, const std::vector<float>& norm_bias) {
    if (bias.empty() && !norm_bias.empty()) bias.resize(out);
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < in; ++i) {
        float& w = weight[o * in + i];
        if (!norm_bias.empty()) sum += static_cast<double>(w) * norm_bias[i];
        w *= gain[i];
      }
      if (!bias.empty()) bias[o] += static_cast<float>(sum);
    }
  }

  // Puts the outputs of a layer that reads the same inputs behind this one's.
  void Append(const Dense& other) {
    if (bias.empty() != other.bias.empty()) {
      bias.resize(out);
      bias.resize(out + other.out);
    }
    out += other.out;
    in = other.in;
    weight.insert(weight.end(), other.weight.begin(), other.weight.end());
    if (other.bias.empty()) return;
    bias.resize(out - other.out);
    bias.insert(bias.end(), other.bias.begin(), other.bias.end());
  }
};

// The layer that adds up what both make of their inputs side by side.
Dense Join(const Dense& a, const Dense& b) {
  Dense joint = {a.out, a.in + b.in, {}, a.bias.empty() ? b.bias : a.bias};
  for (int64_t o = 0; o < a.out; ++o) {
    const auto from_a = a.weight.begin() + o * a.in;
    const auto from_b = b.weight.begin() + o * b.in;
    joint.weight.insert(joint.weight.end(), from_a, from_a + a.in);
    joint.weight.insert(joint.weight.end(), from_b, from_b + b.in);
    if (a.bias.empty() || b.bias.empty()) continue;
    joint.bias[o] += b.bias[o];
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

  StackWeights LoadStack(const StackConfig& config, const StackNames& names) {
    StackWeights stack;
    stack.width = config.hidden_size;
    stack.inner = config.intermediate_size;
    stack.layout = config.Heads();
    stack.norm = {config.norm == Norm::kRmsNorm, static_cast<float>(config.norm_eps)};
    stack.rotary = config.Rotary();
    stack.is_gated = config.mlp == Mlp::kSwiGlu;
    for (int64_t i = 0; i < config.num_layers; ++i) {
      stack.layers.push_back(LoadLayer(config, stack, names, i));
    }
    const std::string norm = names.Outer(Role::kFinalNorm);
    stack.final_gain = UploadArray(read_(norm + ".weight"));
    if (FinalNormPart(config).has_bias) stack.final_bias = UploadArray(read_(norm + ".bias"));
    return stack;
  }

  // The head behind a stack.
  Linear LoadHead(const StackConfig& config, const StackNames& names, int64_t vocab_size) {
    return MakeLinear(ReadDense(names.Outer(config.tied_head ? Role::kTable : Role::kHead),
                                vocab_size, config.hidden_size, /*has_bias=*/false));
  }

 private:
  StackWeights::Layer LoadLayer(const StackConfig& config, const StackWeights& stack,
                                const StackNames& names, int64_t index) {
    const std::vector<StackPart> parts = LayerParts(config);
    // The linear layers of these roles that the stack has, one behind the other.
    const auto dense = [&](std::initializer_list<Role> roles) {
      Dense result;
      for (const Role role : roles) {
        for (const StackPart& part : parts) {
          if (part.role != role) continue;
          result.Append(ReadDense(names.Layer(index, role), part.out, part.in, part.has_bias));
        }
      }
      return result;
    };
    const auto fold = [&](Role norm, Dense* layer) {
      for (const StackPart& part : parts) {
        if (part.role != norm) continue;
        const std::string name = names.Layer(index, norm);
        layer->Fold(read_(name + ".weight"),
                    part.has_bias ? read_(name + ".bias") : std::vector<float>());
      }
    };
    StackWeights::Layer layer;
    Dense qkv = dense({Role::kQkv, Role::kQuery, Role::kKey, Role::kValue});
    fold(Role::kAttentionNorm, &qkv);
    GemmShape shape;
    shape.x_stride = stack.width;
    shape.y_stride = stack.layout.width;
    shape.y_type = type_;
    layer.qkv = MakeLinear(qkv, shape);
    if (config.qk_norm) {
      layer.query_gain = UploadArray(read_(names.Layer(index, Role::kQueryNorm) + ".weight"));
      layer.key_gain = UploadArray(read_(names.Layer(index, Role::kKeyNorm) + ".weight"));
    }

    Dense up = dense({Role::kGate, Role::kUp});
    fold(Role::kMlpNorm, &up);
    shape.y_stride = stack.is_gated ? 2 * stack.inner : stack.joint();
    shape.y_column = stack.is_gated ? 0 : stack.attention();
    shape.finish = stack.is_gated             ? Finish::kStore
                   : config.mlp == Mlp::kRelu ? Finish::kRelu
                                              : Finish::kGelu;
    layer.up = MakeLinear(up, shape);

    const Dense out = dense({Role::kAttentionOut});
    const Dense down = dense({Role::kDown});
    shape = {};
    shape.x_stride = stack.joint();
    shape.y_stride = stack.width;
    shape.finish = Finish::kAdd;
    if (config.parallel_residual) {
      layer.tail = MakeLinear(Join(out, down), shape);
      return layer;
    }
    layer.dense = MakeLinear(out, shape);
    shape.x_column = stack.attention();
    layer.down = MakeLinear(down, shape);
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
    embedder.table = loader->Table(DecoderNames(config).Outer(Role::kTable) + ".weight");
    return embedder;
  }
  embedder.width = config.embedder.hidden_size;
  embedder.table = loader->Table(std::string(kLookupTable) + ".weight");
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
  const std::vector<float> weights = read(std::string(kProjectionLayer) + ".weight");
  Dense dense = {config.decoder.hidden_size, kernel * in, std::vector<float>(weights.size()),
                 read(std::string(kProjectionLayer) + ".bias")};
  for (size_t i = 0; i < weights.size(); ++i) {
    const int64_t index = static_cast<int64_t>(i);
    const int64_t row = index / (in * kernel);
    const int64_t column = index / kernel % in;
    dense.weight[(row * kernel + index % kernel) * in + column] = weights[i];
  }
  embedder.convolution = loader->MakeLinear(dense);
  return embedder;
}

TokenDecoderWeights LoadTokenDecoder(const ModelConfig& config, Loader* loader) {
  TokenDecoderWeights weights;
  weights.stack = loader->LoadStack(config.token_decoder, TokenDecoderNames(config));
  weights.table = loader->Table(TokenDecoderNames(config).Outer(Role::kTable) + ".weight");
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

void RequireHeads(const StackConfig& config, const char* part) {
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
          "a RoBERTa embedder is not supported on a GPU; `device` cpu runs this model");
  Require(config.token_decoder_type != TokenDecoderType::kCrossAttention, ErrorCode::kUnsupported,
          "a T5 token decoder is not supported on a GPU; `device` cpu runs this model");
  RequireHeads(config.token_decoder, "token_decoder");
}

ModelWeights LoadWeights(const ModelConfig& config, const ReadWeights& read,
                         const GemmLibrary* library) {
  RequireSupported(config, read.type);
  Loader loader(read, library);
  ModelWeights weights;
  weights.type = loader.type();
  weights.embedder = LoadEmbedder(config, &loader, read);
  weights.decoder = loader.LoadStack(config.decoder, DecoderNames(config));
  const bool is_vanilla = config.kind == ModelKind::kVanilla;
  if (!is_vanilla) weights.token_decoder = LoadTokenDecoder(config, &loader);
  weights.head =
      is_vanilla
          ? loader.LoadHead(config.decoder, DecoderNames(config), config.vocab_size)
          : loader.LoadHead(config.token_decoder, TokenDecoderNames(config), config.vocab_size);
  return weights;
}

}  // namespace blockformer::cuda
