#include "cpu/neox_stack.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/attention.h"
#include "kernels/layer_norm.h"

namespace blockformer {
namespace {

// Moves the rows that `kept` lists, in ascending order, to the front.
void KeepRows(const std::vector<int64_t>& kept, int64_t width, float* x) {
  for (size_t i = 0; i < kept.size(); ++i) {
    const int64_t target = static_cast<int64_t>(i);
    if (kept[i] != target) std::copy_n(x + kept[i] * width, width, x + target * width);
  }
}

}  // namespace

LocalState::LocalState(const TransformerConfig& config, int64_t blocks, int64_t positions)
    : blocks_(blocks), rotary_(positions, config.RotarySize(), config.rotary_base) {
  LocalCache layer = {nullptr, config.num_heads, config.HeadSize(), positions};
  const int64_t layer_floats = blocks * layer.BlockFloats();
  memory_ = AlignedBuffer(config.num_layers * layer_floats * static_cast<int64_t>(sizeof(float)));
  for (int64_t i = 0; i < config.num_layers; ++i) {
    layer.memory = memory_.As<float>() + i * layer_floats;
    layers_.push_back(layer);
  }
}

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

void NeoxStack::Forward(const std::vector<AttentionRow>& rows, const std::vector<int64_t>& wanted,
                        float* x, PagedState* state) const {
  const AttentionRule rule = ScaledAttention(config_.HeadSize());
  std::vector<AttentionRow> wanted_rows;
  for (const int64_t row : wanted) wanted_rows.push_back(rows[static_cast<size_t>(row)]);
  const auto attend = [&](int64_t layer, bool last, float* qkv, float* out) {
    const KvPages& cache = state->cache.Layer(layer);
    StoreKeysAndValues(cache, &state->rotary, rows.data(), static_cast<int64_t>(rows.size()), qkv);
    if (last) KeepRows(wanted, 3 * config_.hidden_size, qkv);
    const std::vector<AttentionRow>& queries = last ? wanted_rows : rows;
    Attend(cache, rule, queries.data(), static_cast<int64_t>(queries.size()), qkv, out);
  };
  RunLayers(static_cast<int64_t>(rows.size()), wanted, attend, x, &state->scratch);
}

void NeoxStack::Forward(const LocalStep& step, float* x, LocalState* state) const {
  std::vector<int64_t> wanted;
  for (int64_t block = 0; block < step.blocks; ++block) {
    for (int64_t i = step.count - step.wanted; i < step.count; ++i) {
      wanted.push_back(block * step.count + i);
    }
  }
  LocalStep all = step;
  all.wanted = step.count;
  const auto attend = [&](int64_t layer, bool last, const float* qkv, float* out) {
    AttendLocally(state->layers_[static_cast<size_t>(layer)], state->rotary_, last ? step : all,
                  qkv, out);
  };
  RunLayers(step.blocks * step.count, wanted, attend, x, &state->scratch_);
}

void NeoxStack::RunLayers(int64_t rows, const std::vector<int64_t>& wanted,
                          const AttendLayer& attend, float* x, StackScratch* scratch) const {
  const int64_t width = config_.hidden_size;
  scratch->normed.resize(static_cast<size_t>(rows * width));
  scratch->qkv.resize(static_cast<size_t>(rows * 3 * width));
  scratch->attention.resize(static_cast<size_t>(rows * width));
  scratch->inner.resize(static_cast<size_t>(rows * config_.intermediate_size));
  float* normed = scratch->normed.data();
  float* attention = scratch->attention.data();
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const bool last = i + 1 == layers_.size();
    Norm(layer.attention_norm, x, rows, normed);
    layer.qkv.Apply(normed, rows, Epilogue::kStore, scratch->qkv.data());
    attend(static_cast<int64_t>(i), last, scratch->qkv.data(), attention);
    if (last) {
      KeepRows(wanted, width, x);
      rows = static_cast<int64_t>(wanted.size());
    }
    // Parallel: x + attention(norm(x)) + mlp(norm(x)); sequential: the MLP sees attention's sum.
    if (config_.parallel_residual) Norm(layer.mlp_norm, x, rows, normed);
    layer.dense.Apply(attention, rows, Epilogue::kAdd, x);
    if (!config_.parallel_residual) Norm(layer.mlp_norm, x, rows, normed);
    layer.up.Apply(normed, rows, Epilogue::kGelu, scratch->inner.data());
    layer.down.Apply(scratch->inner.data(), rows, Epilogue::kAdd, x);
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
