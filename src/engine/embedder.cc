#include "engine/embedder.h"

#include <algorithm>

namespace blockformer {
namespace {

// A Conv1d whose stride is its kernel is a linear layer over the concatenated positions. Its
// weights [out, in, kernel] become [out, kernel * in].
PackedLinear PackConvolution(const ReadWeights& read, int64_t out, int64_t in, int64_t kernel) {
  const std::vector<float> weights = read("embedder.projection_layer.weight");
  const std::vector<float> bias = read("embedder.projection_layer.bias");
  std::vector<float> flat(weights.size());
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) {
      for (int64_t t = 0; t < kernel; ++t) {
        flat[static_cast<size_t>((o * kernel + t) * in + i)] =
            weights[static_cast<size_t>((o * in + i) * kernel + t)];
      }
    }
  }
  return PackedLinear(flat.data(), bias.data(), out, kernel * in);
}

}  // namespace

Embedder::Embedder(const ModelConfig& config, const ReadWeights& read) {
  if (config.kind == ModelKind::kVanilla) {
    projection_ = EmbedderProjection::kConcat;
    unit_length_ = 1;
    table_width_ = config.decoder.hidden_size;
    table_ = read("gpt_neox.embed_in.weight");
    return;
  }
  projection_ = config.embedder.projection;
  unit_length_ = config.block_length;
  table_width_ = config.embedder.hidden_size;
  table_ = read("embedder.embeddings.weight");
  if (projection_ == EmbedderProjection::kConv1d) {
    convolution_ = PackConvolution(read, config.decoder.hidden_size, table_width_, unit_length_);
  }
}

void Embedder::Embed(const int32_t* ids, int64_t units, float* out) const {
  switch (projection_) {
    case EmbedderProjection::kConcat:
      return Concatenate(ids, units, out);
    case EmbedderProjection::kSum:
      return Sum(ids, units, 1, out);
    case EmbedderProjection::kMean:
      return Sum(ids, units, 1 / static_cast<float>(unit_length_), out);
    case EmbedderProjection::kConv1d: {
      std::vector<float> concatenated(static_cast<size_t>(units * convolution_->in()));
      Concatenate(ids, units, concatenated.data());
      return convolution_->Apply(concatenated.data(), units, Epilogue::kStore, out);
    }
  }
}

void Embedder::Concatenate(const int32_t* ids, int64_t units, float* out) const {
  for (int64_t i = 0; i < units * unit_length_; ++i) {
    std::copy_n(Row(ids[i]), table_width_, out + i * table_width_);
  }
}

void Embedder::Sum(const int32_t* ids, int64_t units, float scale, float* out) const {
  for (int64_t unit = 0; unit < units; ++unit, out += table_width_, ids += unit_length_) {
    std::fill_n(out, table_width_, 0.0f);
    for (int64_t t = 0; t < unit_length_; ++t) {
      const float* row = Row(ids[t]);
      for (int64_t d = 0; d < table_width_; ++d) out[d] += scale * row[d];
    }
  }
}

}  // namespace blockformer
