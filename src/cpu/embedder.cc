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

void Embedder::Embed(MatrixView<const int32_t> ids, MatrixView<const uint8_t> mask,
                     EmbedderState* state, MatrixView<float> out) const {
  if (projection_ == EmbedderProjection::kConcat) {
    return table_.Copy(ids.values(), out.Reshaped(ids.size(), width_));
  }
  const MatrixView<const float> vectors = Vectors(ids, mask, state);
  if (convolution_) return convolution_->Apply(vectors, Epilogue::kStore, out);
  const bool mean = projection_ == EmbedderProjection::kMean;
  Sum(vectors, mean ? 1 / static_cast<float>(unit_length_) : 1, out);
}

MatrixView<const float> Embedder::Vectors(MatrixView<const int32_t> ids,
                                          MatrixView<const uint8_t> mask,
                                          EmbedderState* state) const {
  if (encoder_) return encoder_->Encode(ids, mask, &state->encoder_);
  Matrix<float>& vectors = state->vectors_;
  vectors.Resize(ids.rows(), unit_length_ * width_);
  table_.Copy(ids.values(), vectors.view().Reshaped(ids.size(), width_));
  return vectors;
}

void Embedder::Sum(MatrixView<const float> vectors, float scale, MatrixView<float> out) const {
  for (int64_t unit = 0; unit < out.rows(); ++unit) {
    const MatrixView<const float> tokens(vectors.Row(unit), width_);
    const std::span<float> sum = out.Row(unit);
    std::ranges::fill(sum, 0.0F);
    for (int64_t t = 0; t < unit_length_; ++t) {
      const std::span<const float> token = tokens.Row(t);
      for (int64_t d = 0; d < width_; ++d) sum[d] += scale * token[d];
    }
  }
}

}  // namespace blockformer
