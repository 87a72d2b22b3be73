#include "cpu/embedder.h"

#include <algorithm>

#include "config/parameters.h"

namespace blockformer {
namespace {

// A Conv1d whose stride is its kernel is a linear layer over the concatenated positions. Its
// weights [out, in, kernel] become [out, kernel * in].
PackedLinear PackConvolution(const ReadWeights& read, int64_t out, int64_t in, int64_t kernel) {
  const std::vector<float> weights = read(std::string(kProjectionLayer) + ".weight");
  const std::vector<float> bias = read(std::string(kProjectionLayer) + ".bias");
  std::vector<float> flat(weights.size());
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) {
      for (int64_t t = 0; t < kernel; ++t) {
        flat[(o * kernel + t) * in + i] = weights[(o * in + i) * kernel + t];
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
    width_ = config.decoder.hidden_size;
    table_ = EmbeddingTable(read, DecoderNames(config).Outer(Role::kTable) + ".weight", width_);
    return;
  }
  projection_ = config.embedder.projection;
  unit_length_ = config.block_length;
  width_ = config.embedder.hidden_size;
  if (config.embedder.type == EmbedderType::kLookup) {
    table_ = EmbeddingTable(read, std::string(kLookupTable) + ".weight", width_);
  } else {
    encoder_.emplace(config, read);
  }
  if (projection_ == EmbedderProjection::kConv1d) {
    convolution_ = PackConvolution(read, config.decoder.hidden_size, width_, config.NumPooled());
  }
}

void Embedder::Embed(const int32_t* ids, const uint8_t* mask, int64_t units, EmbedderState* state,
                     float* out) const {
  if (projection_ == EmbedderProjection::kConcat)
    return table_.Copy(ids, units * unit_length_, out);
  const float* vectors;
  if (encoder_) {
    vectors = encoder_->Encode(ids, mask, units, &state->encoder_);
  } else {
    state->vectors_.resize(units * unit_length_ * width_);
    table_.Copy(ids, units * unit_length_, state->vectors_.data());
    vectors = state->vectors_.data();
  }
  if (convolution_) return convolution_->Apply(vectors, units, Epilogue::kStore, out);
  const bool mean = projection_ == EmbedderProjection::kMean;
  Sum(vectors, units, mean ? 1 / static_cast<float>(unit_length_) : 1, out);
}

void Embedder::Sum(const float* vectors, int64_t units, float scale, float* out) const {
  for (int64_t unit = 0; unit < units; ++unit, out += width_) {
    std::fill_n(out, width_, 0.0f);
    for (int64_t t = 0; t < unit_length_; ++t, vectors += width_) {
      for (int64_t d = 0; d < width_; ++d) out[d] += scale * vectors[d];
    }
  }
}

}  // namespace blockformer
