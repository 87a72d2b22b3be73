#include "engine/neox_stack.h"

#include <fmt/format.h>

#include "kernels/layer_norm.h"

namespace blockformer {

NeoxStack::NeoxStack(const TransformerConfig& config, const std::string& prefix,
                     const ReadWeights& read)
    : config_(config), final_norm_(ReadNorm(read, prefix + ".final_layer_norm")) {
  CheckHeadSize(prefix, config.HeadSize());
  const int64_t width = config.hidden_size;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string name = fmt::format("{}.layers.{}.", prefix, i);
    layers_.push_back(
        {ReadNorm(read, name + "input_layernorm"),
         ReadNorm(read, name + "post_attention_layernorm"),
         PackLinear(read, name + "attention.query_key_value", 3 * width, width),
         PackLinear(read, name + "attention.dense", width, width),
         PackLinear(read, name + "mlp.dense_h_to_4h", config.intermediate_size, width),
         PackLinear(read, name + "mlp.dense_4h_to_h", width, config.intermediate_size)});
  }
}

void NeoxStack::Forward(const std::vector<AttentionRow>& rows, float* x, StackState* state) const {
  const int64_t count = static_cast<int64_t>(rows.size());
  const int64_t width = config_.hidden_size;
  state->normed.resize(static_cast<size_t>(count * width));
  state->qkv.resize(static_cast<size_t>(count * 3 * width));
  state->attention.resize(static_cast<size_t>(count * width));
  state->inner.resize(static_cast<size_t>(count * config_.intermediate_size));
  float* normed = state->normed.data();
  float* qkv = state->qkv.data();
  float* attention = state->attention.data();
  float* inner = state->inner.data();
  const AttentionRule rule = ScaledAttention(config_.HeadSize());

  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const KvPages& cache = state->cache.Layer(static_cast<int64_t>(i));
    Norm(layer.attention_norm, x, count, normed);
    layer.qkv.Apply(normed, count, Epilogue::kStore, qkv);
    StoreKeysAndValues(cache, &state->rotary, rows.data(), count, qkv);
    Attend(cache, rule, rows.data(), count, qkv, attention);
    // Parallel: x + attention(norm(x)) + mlp(norm(x)); sequential: the MLP sees attention's sum.
    if (config_.parallel_residual) Norm(layer.mlp_norm, x, count, normed);
    layer.dense.Apply(attention, count, Epilogue::kAdd, x);
    if (!config_.parallel_residual) Norm(layer.mlp_norm, x, count, normed);
    layer.up.Apply(normed, count, Epilogue::kGelu, inner);
    layer.down.Apply(inner, count, Epilogue::kAdd, x);
  }
}

void NeoxStack::FinalNorm(const float* x, int64_t rows, float* y) const {
  Norm(final_norm_, x, rows, y);
}

void NeoxStack::Norm(const NormWeights& weights, const float* x, int64_t rows, float* y) const {
  LayerNorm(x, rows, config_.hidden_size, weights.gain.data(), weights.bias.data(),
            static_cast<float>(config_.layer_norm_eps), y);
}

}  // namespace blockformer
