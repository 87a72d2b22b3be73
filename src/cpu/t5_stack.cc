#include "cpu/t5_stack.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "config/parameters.h"
#include "kernels/rms_norm.h"

namespace blockformer {
namespace {

KvShape ShapeOf(const T5Config& config) {
  return {config.num_layers, config.num_heads, config.head_size};
}

// Biases [heads, length] by decreasing distance. Only the first layer has the table, for all.
std::vector<float> ReadPositionBias(const T5Config& config, int64_t length,
                                    const ReadWeights& read) {
  const std::vector<float> table = read(std::string(kT5Prefix) +
                                        ".block.0.layer.0.SelfAttention.relative_attention_bias"
                                        ".weight");  // [buckets, heads]
  std::vector<float> bias;
  for (int64_t head = 0; head < config.num_heads; ++head) {
    for (int64_t distance = length - 1; distance >= 0; --distance) {
      const int64_t bucket =
          RelativePositionBucket(distance, config.num_buckets, config.max_distance);
      bias.push_back(table[bucket * config.num_heads + head]);
    }
  }
  return bias;
}

}  // namespace

int64_t RelativePositionBucket(int64_t distance, int64_t num_buckets, int64_t max_distance) {
  const int64_t exact = num_buckets / 2;
  if (distance < exact) return distance;
  // In f32 as in the published implementation, so that both round alike.
  const float ratio = static_cast<float>(distance) / static_cast<float>(exact);
  const float range =
      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  const float steps = std::log(ratio) / range * static_cast<float>(num_buckets - exact);
  return std::min(exact + static_cast<int64_t>(steps), num_buckets - 1);
}

T5State::T5State(const T5Config& config, int64_t blocks, int64_t page_size)
    : self_cache(ShapeOf(config), blocks, page_size),
      cross_cache(ShapeOf(config), blocks, page_size) {}

T5Stack::T5Stack(const T5Config& config, int64_t length, const ReadWeights& read)
    : config_(config),
      length_(length),
      final_norm_(read(std::string(kT5Prefix) + ".final_layer_norm.weight")),
      position_bias_(ReadPositionBias(config, length, read)) {
  CheckHeadSize("token_decoder", config.head_size);
  for (int64_t i = 0; i < config.num_layers; ++i) AddLayer(i, read);
}

void T5Stack::AddLayer(int64_t index, const ReadWeights& read) {
  const std::string name = fmt::format("{}.block.{}.layer.", kT5Prefix, index);
  const std::string self = name + "0.SelfAttention.";
  const std::string cross = name + "1.EncDecAttention.";
  const std::string mlp = name + "2.DenseReluDense.";
  const int64_t width = config_.hidden_size;
  const int64_t inner = config_.AttentionWidth();
  const auto pack_heads = [&](const std::vector<std::string>& names) {
    return PackHeads(read, names, config_.num_heads, config_.head_size, width, Bias::kAbsent);
  };
  const auto pack = [&](const std::string& linear, int64_t out, int64_t in) {
    return PackLinear(read, linear, out, in, Bias::kAbsent);
  };
  layers_.push_back({read(name + "0.layer_norm.weight"),
                     pack_heads({self + "q", self + "k", self + "v"}),
                     pack(self + "o", width, inner), read(name + "1.layer_norm.weight"),
                     pack(cross + "q", inner, width), pack_heads({cross + "k", cross + "v"}),
                     pack(cross + "o", width, inner), read(name + "2.layer_norm.weight"),
                     pack(mlp + "wi", config_.intermediate_size, width),
                     pack(mlp + "wo", width, config_.intermediate_size)});
}

void T5Stack::StoreVectors(MatrixView<const float> vectors, const std::vector<int32_t>& pages,
                           T5State* state) const {
  const int64_t count = vectors.rows();
  state->cross_rows.clear();
  for (int64_t i = 0; i < count; ++i) {
    state->cross_rows.push_back({&pages[i / length_], i % length_, 0, nullptr, true});
  }
  state->heads.Resize(count, 2 * config_.AttentionWidth());
  for (int64_t i = 0; i < std::ssize(layers_); ++i) {
    layers_[i].key_value.Apply(vectors, Epilogue::kStore, state->heads);
    StoreKeysAndValues(state->cross_cache.Layer(i),
                       HeadLayout::KeysAndValues(config_.num_heads, config_.head_size), nullptr,
                       state->cross_rows.data(), count, state->heads.data());
  }
}

void T5Stack::Forward(const std::vector<AttentionRow>& rows, MatrixView<float> x,
                      T5State* state) const {
  state->normed.Resize(x.rows(), config_.hidden_size);
  state->attention.Resize(x.rows(), config_.AttentionWidth());
  state->inner.Resize(x.rows(), config_.intermediate_size);
  state->cross_rows.clear();
  for (const AttentionRow& row : rows) {
    state->cross_rows.push_back({row.pages, length_ - 1, 0, nullptr, true});
  }
  for (int64_t i = 0; i < std::ssize(layers_); ++i) RunLayer(i, rows, x, state);
}

void T5Stack::RunLayer(int64_t index, const std::vector<AttentionRow>& rows, MatrixView<float> x,
                       T5State* state) const {
  const Layer& layer = layers_[index];
  const int64_t count = x.rows();
  const KvPages& self_cache = state->self_cache.Layer(index);
  const KvPages& cross_cache = state->cross_cache.Layer(index);
  // T5 leaves scores unscaled; its initial values of the queries make up for it.
  const int64_t num_heads = config_.num_heads;
  const AttentionRule self = {HeadLayout::Grouped(num_heads, num_heads, config_.head_size), 1,
                              position_bias_.data(), length_};
  const AttentionRule cross = {HeadLayout::Queries(num_heads, num_heads, config_.head_size), 1,
                               nullptr, 0};
  const MatrixView<float> normed = state->normed;
  const MatrixView<float> attention = state->attention;
  Matrix<float>& heads = state->heads;

  Norm(layer.self_norm, x, normed);
  heads.Resize(count, self.layout.width);
  layer.qkv.Apply(normed, Epilogue::kStore, heads);
  StoreKeysAndValues(self_cache, self.layout, nullptr, rows.data(), count, heads.data());
  Attend(self_cache, self, rows.data(), count, heads.data(), attention.data());
  layer.self_out.Apply(attention, Epilogue::kAdd, x);

  Norm(layer.cross_norm, x, normed);
  heads.Resize(count, cross.layout.width);
  layer.query.Apply(normed, Epilogue::kStore, heads);
  Attend(cross_cache, cross, state->cross_rows.data(), count, heads.data(), attention.data());
  layer.cross_out.Apply(attention, Epilogue::kAdd, x);

  Norm(layer.mlp_norm, x, normed);
  layer.up.Apply(normed, Epilogue::kRelu, state->inner);
  layer.down.Apply(state->inner, Epilogue::kAdd, x);
}

void T5Stack::FinalNorm(MatrixView<float> x) const { Norm(final_norm_, x, x); }

void T5Stack::Norm(const std::vector<float>& gain, MatrixView<const float> x,
                   MatrixView<float> y) const {
  RmsNorm(x.data(), x.rows(), x.columns(), gain.data(), static_cast<float>(config_.layer_norm_eps),
          y.data());
}

}  // namespace blockformer
