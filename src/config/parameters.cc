#include "config/parameters.h"

#include <cmath>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr double kInitStddev = 0.02;
constexpr char kWeight[] = ".weight";
constexpr char kBias[] = ".bias";

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

  ParameterSpec& AddTable(const std::string& name, int64_t vocab_size, int64_t width,
                          double init_stddev = kInitStddev) {
    ParameterSpec& spec = Add(name, {vocab_size, width}, init_stddev);
    spec.is_vocabulary_table = true;
    return spec;
  }

  void AddLinear(const std::string& name, int64_t out, int64_t in) {
    Add(name + kWeight, {out, in}, kInitStddev).may_be_int8 = true;
    Add(name + kBias, {out}, 0);
  }

  void AddNorm(const std::string& name, int64_t width) {
    Add(name + kWeight, {width}, 0, 1);
    Add(name + kBias, {width}, 0);
  }

  // A weight alone, as T5 has them.
  void AddMatrix(const std::string& name, int64_t out, int64_t in, double variance_divisor) {
    Add(name + kWeight, {out, in}, 1 / std::sqrt(variance_divisor)).may_be_int8 = true;
  }

  void AddConv1d(const std::string& name, int64_t out, int64_t in, int64_t kernel,
                 bool may_be_int8) {
    Add(name + kWeight, {out, in, kernel}, 1.0 / std::sqrt(static_cast<double>(in * kernel)))
        .may_be_int8 = may_be_int8;
    Add(name + kBias, {out}, 0);
  }

  // `names` are those of the stack `config`.
  void AddStack(const StackConfig& config, const StackNames& names) {
    for (int64_t i = 0; i < config.num_layers; ++i) {
      for (const StackPart& part : LayerParts(config)) AddPart(part, names.Layer(i, part.role), i);
    }
    AddPart(FinalNormPart(config), names.Outer(Role::kFinalNorm), -1);
  }

  ParameterSpec& AddStackTable(const StackNames& names, int64_t vocab_size, int64_t width) {
    ParameterSpec& spec = AddTable(names.Outer(Role::kTable) + kWeight, vocab_size, width);
    spec.role = Role::kTable;
    return spec;
  }

  // An output head: a linear layer that is a vocabulary table as well. A tied one is the table
  // `tied`, an index in the list.
  void AddHead(const StackConfig& config, const StackNames& names, int64_t vocab_size,
               size_t tied) {
    const std::string name = names.Outer(Role::kHead) + kWeight;
    if (config.tied_head) {
      specs_[tied].is_output_head = true;
      specs_[tied].aliases = {name};
      return;
    }
    ParameterSpec& spec = AddTable(name, vocab_size, config.hidden_size);
    spec.role = Role::kHead;
    spec.may_be_int8 = true;
    spec.is_output_head = true;
  }

  size_t size() const { return specs_.size(); }

  void AddRoberta(const ModelConfig& config) {
    const EncoderConfig& encoder = config.embedder.encoder;
    const int64_t width = config.embedder.hidden_size;
    const std::string embeddings = "embedder.embeddings.";
    AddTable(embeddings + "word_embeddings.weight", config.vocab_size, width).init_zero_row =
        encoder.pad_token_id;
    Add(embeddings + "position_embeddings.weight", {encoder.max_positions, width}, kInitStddev)
        .init_zero_row = encoder.pad_token_id;
    Add(embeddings + "token_type_embeddings.weight", {1, width}, kInitStddev);
    AddNorm(embeddings + "LayerNorm", width);
    for (int64_t i = 0; i < encoder.num_layers; ++i) {
      const std::string layer = fmt::format("embedder.encoder.layer.{}.", i);
      for (const char* part : {"query", "key", "value"}) {
        AddLinear(layer + "attention.self." + part, width, width);
      }
      AddLinear(layer + "attention.output.dense", width, width);
      AddNorm(layer + "attention.output.LayerNorm", width);
      AddLinear(layer + "intermediate.dense", encoder.intermediate_size, width);
      AddLinear(layer + "output.dense", width, encoder.intermediate_size);
      AddNorm(layer + "output.LayerNorm", width);
    }
  }

  // Initial values as T5 has them: Raffel et al. fold attention's scale into those of the queries.
  void AddT5(const T5Config& config, int64_t vocab_size) {
    const int64_t width = config.hidden_size;
    const int64_t inner = config.AttentionWidth();
    const auto width_divisor = static_cast<double>(width);
    ParameterSpec& table = AddTable(kT5Table, vocab_size, width, 1);
    table.is_output_head = true;
    table.aliases = {"token_decoder.decoder.embed_tokens.weight", "token_decoder.lm_head.weight"};
    for (int64_t i = 0; i < config.num_layers; ++i) {
      const std::string block = fmt::format("{}.block.{}.layer.", kT5Prefix, i);
      for (const char* attention : {"0.SelfAttention.", "1.EncDecAttention."}) {
        const std::string name = block + attention;
        AddMatrix(name + "q", inner, width, static_cast<double>(width * config.head_size));
        AddMatrix(name + "k", inner, width, width_divisor);
        AddMatrix(name + "v", inner, width, width_divisor);
        AddMatrix(name + "o", width, inner, static_cast<double>(inner));
      }
      if (i == 0) {
        Add(block + "0.SelfAttention.relative_attention_bias.weight",
            {config.num_buckets, config.num_heads}, 1 / std::sqrt(width_divisor));
      }
      AddMatrix(block + "2.DenseReluDense.wi", config.intermediate_size, width, width_divisor);
      AddMatrix(block + "2.DenseReluDense.wo", width, config.intermediate_size,
                static_cast<double>(config.intermediate_size));
      for (const char* sublayer : {"0", "1", "2"}) {
        Add(block + sublayer + ".layer_norm.weight", {width}, 0, 1);
      }
    }
    Add(std::string(kT5Prefix) + ".final_layer_norm.weight", {width}, 0, 1);
  }

  void AddPart(const StackPart& part, const std::string& name, int64_t layer) {
    const auto mark = [&](ParameterSpec& spec) {
      spec.role = part.role;
      spec.layer = layer;
    };
    if (part.is_norm) {
      mark(Add(name + kWeight, {part.out}, 0, 1));
    } else {
      ParameterSpec& weight = Add(name + kWeight, {part.out, part.in}, kInitStddev);
      weight.may_be_int8 = true;
      mark(weight);
    }
    if (part.has_bias) mark(Add(name + kBias, {part.out}, 0));
  }

  std::vector<ParameterSpec> Take() { return std::move(specs_); }

 private:
  ModelPart part_ = ModelPart::kDecoder;
  std::vector<ParameterSpec> specs_;
};

double LayerWeights(const StackConfig& config) {
  double weights = 0;
  for (const StackPart& part : LayerParts(config)) {
    weights += static_cast<double>(part.out) * static_cast<double>(part.in);  // norms have no `in`
  }
  return weights;
}

// Multiply-adds of one position that attends to `keys` positions.
double PositionMultiplyAdds(const StackConfig& config, double keys) {
  const double attention = 2 * static_cast<double>(config.AttentionWidth()) * keys;
  return static_cast<double>(config.num_layers) * (LayerWeights(config) + attention);
}

// Multiply-adds for `positions` positions that attend causally among themselves.
double StackMultiplyAdds(const StackConfig& config, double positions) {
  return positions * PositionMultiplyAdds(config, (positions + 1) / 2);
}

// Multiply-adds of a RoBERTa encoder over a block, CLS tokens included.
double EncoderMultiplyAdds(const ModelConfig& config) {
  const EncoderConfig& encoder = config.embedder.encoder;
  const double width = static_cast<double>(config.embedder.hidden_size);
  const double positions = static_cast<double>(encoder.num_cls_tokens + config.block_length);
  const double weights =
      4 * width * width + 2 * width * static_cast<double>(encoder.intermediate_size);
  return static_cast<double>(encoder.num_layers) * positions * (weights + 2 * width * positions);
}

// Multiply-adds of a block's embedder.
double EmbedderMultiplyAdds(const ModelConfig& config) {
  double sum = 0;
  if (config.embedder.projection == EmbedderProjection::kConv1d) {
    sum += static_cast<double>(config.embedder.hidden_size * config.NumPooled() *
                               config.decoder.hidden_size);
  }
  if (config.embedder.type != EmbedderType::kLookup) sum += EncoderMultiplyAdds(config);
  return sum;
}

// Multiply-adds of a T5 decoder over a block: self-attention among L positions, attention to
// `vectors` encoded ones, whose keys and values are made once a layer, and the feed-forward layer.
double T5MultiplyAdds(const T5Config& config, double length, double vectors) {
  const double width = static_cast<double>(config.hidden_size);
  const double inner = static_cast<double>(config.AttentionWidth());
  const double weights =
      6 * width * inner + 2 * width * static_cast<double>(config.intermediate_size);
  const double keys = (length + 1) / 2 + vectors;
  return static_cast<double>(config.num_layers) *
         (length * (weights + 2 * inner * keys) + vectors * 2 * width * inner);
}

// Multiply-adds that make a block's tokens from its context embedding, output head included.
double TokenDecoderMultiplyAdds(const ModelConfig& config) {
  const double width = static_cast<double>(config.TokenDecoderWidth());
  const double length = static_cast<double>(config.block_length);
  const double vectors = static_cast<double>(config.prefix_length);
  double sum = length * width * static_cast<double>(config.vocab_size);
  if (config.expansion == Expansion::kLayer) {
    sum += static_cast<double>(config.decoder.hidden_size) * width * vectors;
  }
  switch (config.token_decoder_type) {
    case TokenDecoderType::kPrefix:
      return sum + StackMultiplyAdds(config.token_decoder, vectors + length - 1);
    case TokenDecoderType::kSummation:
      return sum + StackMultiplyAdds(config.token_decoder, length);
    case TokenDecoderType::kCrossAttention:
      return sum + T5MultiplyAdds(config.t5, length, vectors);
  }
  return sum;
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

StackNames DecoderNames(const ModelConfig& config) {
  return {config.decoder, config.kind == ModelKind::kVanilla ? "" : "block_decoder."};
}

StackNames TokenDecoderNames(const ModelConfig& config) {
  return {config.token_decoder, "token_decoder."};
}

bool HasTokenDecoderStack(const ModelConfig& config) {
  return config.kind == ModelKind::kBlock &&
         config.token_decoder_type != TokenDecoderType::kCrossAttention;
}

std::vector<ParameterSpec> ListParameters(const ModelConfig& config) {
  ParameterList list;
  const int64_t width = config.decoder.hidden_size;
  const StackNames decoder = DecoderNames(config);
  if (config.kind == ModelKind::kVanilla) {
    list.AddStackTable(decoder, config.vocab_size, width);
    list.AddStack(config.decoder, decoder);
    list.AddHead(config.decoder, decoder, config.vocab_size, 0);
    return list.Take();
  }
  list.SetPart(ModelPart::kEmbedder);
  if (config.embedder.type == EmbedderType::kLookup) {
    list.AddTable(std::string(kLookupTable) + kWeight, config.vocab_size,
                  config.embedder.hidden_size);
  } else {
    list.AddRoberta(config);
  }
  if (config.embedder.projection == EmbedderProjection::kConv1d) {
    list.AddConv1d(kProjectionLayer, width, config.embedder.hidden_size, config.NumPooled(),
                   /*may_be_int8=*/false);
  }
  list.SetPart(ModelPart::kDecoder);
  if (HasUnusedTable(config.decoder.family)) {
    list.AddStackTable(decoder, config.vocab_size, width).is_used = false;
  }
  list.AddStack(config.decoder, decoder);
  list.SetPart(ModelPart::kTokenDecoder);
  const int64_t token_width = config.TokenDecoderWidth();
  if (config.expansion == Expansion::kLayer) {
    list.AddConv1d(kExpansionLayer, token_width * config.prefix_length, width, 1,
                   /*may_be_int8=*/true);
  }
  if (!HasTokenDecoderStack(config)) {
    list.AddT5(config.t5, config.vocab_size);
    return list.Take();
  }
  const StackNames token_decoder = TokenDecoderNames(config);
  const size_t table = list.size();
  list.AddStackTable(token_decoder, config.vocab_size, token_width);
  list.AddStack(config.token_decoder, token_decoder);
  list.AddHead(config.token_decoder, token_decoder, config.vocab_size, table);
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

double TrainingFlopsPerToken(const ModelConfig& config) {
  return 3 * 2 * MultiplyAddsPerToken(config, config.max_length);
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

double KvBytesPerToken(const ModelConfig& config, NumberType type) {
  const StackConfig& decoder = config.decoder;
  double per_vector =
      static_cast<double>(decoder.KvHeads() * decoder.HeadSize() * NumberBytes(type));
  if (type == NumberType::kInt8) {
    per_vector += static_cast<double>(decoder.KvHeads() * NumberBytes(NumberType::kF32));
  }
  const double per_unit = 2 * static_cast<double>(decoder.num_layers) * per_vector;
  return config.kind == ModelKind::kVanilla ? per_unit
                                            : per_unit / static_cast<double>(config.block_length);
}

}  // namespace blockformer
