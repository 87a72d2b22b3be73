#include "cpu/transformer_stack.h"

#include <algorithm>

#include "kernels/attention.h"
#include "kernels/layer_norm.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"

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

BlockState::BlockState(const StackConfig& config, int64_t blocks, int64_t positions)
    : blocks_(blocks), rotary_(positions, config.Rotary()) {
  BlockCache layer = {nullptr, config.KvHeads(), config.HeadSize(), positions};
  const int64_t layer_floats = blocks * layer.BlockFloats();
  memory_ = AlignedBuffer(config.num_layers * layer_floats * static_cast<int64_t>(sizeof(float)));
  for (int64_t i = 0; i < config.num_layers; ++i) {
    layer.memory = memory_.As<float>() + i * layer_floats;
    layers_.push_back(layer);
  }
}

TransformerStack::TransformerStack(const StackConfig& config, const StackNames& names,
                                   const ReadWeights& read)
    : config_(config),
      layout_(config.Heads()),
      final_norm_(ReadNorm(read, names.Outer(Role::kFinalNorm), FinalNormPart(config).has_bias)) {
  CheckHeadSize(names.Body(), config.HeadSize());
  for (int64_t i = 0; i < config.num_layers; ++i) layers_.push_back(ReadLayer(i, names, read));
}

TransformerStack::Layer TransformerStack::ReadLayer(int64_t index, const StackNames& names,
                                                    const ReadWeights& read) const {
  const std::vector<StackPart> parts = LayerParts(config_);
  // The layer's parts with these roles, in the order of the list; without those it has not.
  const auto pack = [&](std::initializer_list<Role> roles) {
    std::vector<NamedPart> chosen;
    for (const StackPart& part : parts) {
      if (std::ranges::find(roles, part.role) != roles.end()) {
        chosen.push_back({names.Layer(index, part.role), part});
      }
    }
    return PackParts(read, chosen);
  };
  const auto norm = [&](Role role) {
    const auto part = std::ranges::find(parts, role, &StackPart::role);
    return part == parts.end() ? NormWeights()
                               : ReadNorm(read, names.Layer(index, role), part->has_bias);
  };
  return {norm(Role::kAttentionNorm),
          norm(Role::kMlpNorm),
          pack({Role::kQkv, Role::kQuery, Role::kKey, Role::kValue}),
          norm(Role::kQueryNorm),
          norm(Role::kKeyNorm),
          pack({Role::kAttentionOut}),
          pack({Role::kGate, Role::kUp}),
          pack({Role::kDown})};
}

void TransformerStack::Forward(const std::vector<AttentionRow>& rows,
                               const std::vector<int64_t>& wanted, float* x,
                               PagedState* state) const {
  const AttentionRule rule = ScaledAttention(layout_);
  std::vector<AttentionRow> wanted_rows;
  for (const int64_t row : wanted) wanted_rows.push_back(rows[row]);
  const auto attend = [&](int64_t layer, bool last, float* qkv, float* out) {
    const KvPages& cache = state->cache.Layer(layer);
    StoreKeysAndValues(cache, layout_, &state->rotary, rows.data(),
                       static_cast<int64_t>(rows.size()), qkv);
    if (last) KeepRows(wanted, layout_.width, qkv);
    const std::vector<AttentionRow>& queries = last ? wanted_rows : rows;
    Attend(cache, rule, queries.data(), static_cast<int64_t>(queries.size()), qkv, out);
  };
  RunLayers(static_cast<int64_t>(rows.size()), wanted, attend, x, &state->scratch);
}

void TransformerStack::Forward(const BlockStep& step, float* x, BlockState* state) const {
  std::vector<int64_t> wanted;
  for (int64_t block = 0; block < step.blocks; ++block) {
    for (int64_t i = step.count - step.wanted; i < step.count; ++i) {
      wanted.push_back(block * step.count + i);
    }
  }
  BlockStep all = step;
  all.wanted = step.count;
  const auto attend = [&](int64_t layer, bool last, const float* qkv, float* out) {
    AttendInBlock(state->layers_[layer], layout_, state->rotary_, last ? step : all, qkv, out);
  };
  RunLayers(step.blocks * step.count, wanted, attend, x, &state->scratch_);
}

void TransformerStack::RunLayers(int64_t rows, const std::vector<int64_t>& wanted,
                                 const AttendLayer& attend, float* x, StackScratch* scratch) const {
  const int64_t width = config_.hidden_size;
  const int64_t inner = config_.intermediate_size;
  scratch->normed.resize(rows * width);
  scratch->qkv.resize(rows * layout_.width);
  scratch->attention.resize(rows * layout_.OutputWidth());
  scratch->inner.resize(rows * inner);
  if (config_.mlp == Mlp::kSwiGlu) scratch->gated.resize(rows * 2 * inner);
  float* normed = scratch->normed.data();
  float* attention = scratch->attention.data();
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const bool last = i + 1 == layers_.size();
    Norm(layer.attention_norm, x, rows, normed);
    layer.qkv.Apply(normed, rows, Epilogue::kStore, scratch->qkv.data());
    if (config_.qk_norm) {
      RmsNormHeads(layout_, layer.query_norm.gain.data(), layer.key_norm.gain.data(),
                   static_cast<float>(config_.norm_eps), rows, scratch->qkv.data());
    }
    attend(static_cast<int64_t>(i), last, scratch->qkv.data(), attention);
    if (last) {
      KeepRows(wanted, width, x);
      rows = static_cast<int64_t>(wanted.size());
    }
    // Parallel: x + attention(norm(x)) + mlp(norm(x)); sequential: the MLP sees attention's sum.
    if (config_.parallel_residual) Norm(layer.mlp_norm, x, rows, normed);
    layer.out.Apply(attention, rows, Epilogue::kAdd, x);
    if (!config_.parallel_residual) Norm(layer.mlp_norm, x, rows, normed);
    RunMlp(layer, normed, rows, scratch);
    layer.down.Apply(scratch->inner.data(), rows, Epilogue::kAdd, x);
  }
}

void TransformerStack::RunMlp(const Layer& layer, const float* x, int64_t rows,
                              StackScratch* scratch) const {
  switch (config_.mlp) {
    case Mlp::kGelu:
      return layer.up.Apply(x, rows, Epilogue::kGelu, scratch->inner.data());
    case Mlp::kRelu:
      return layer.up.Apply(x, rows, Epilogue::kRelu, scratch->inner.data());
    case Mlp::kSwiGlu:
      layer.up.Apply(x, rows, Epilogue::kStore, scratch->gated.data());
      return SwiGlu(scratch->gated.data(), rows, config_.intermediate_size, scratch->inner.data());
  }
}

void TransformerStack::FinalNorm(const float* x, int64_t rows, float* y) const {
  Norm(final_norm_, x, rows, y);
}

void TransformerStack::Norm(const NormWeights& weights, const float* x, int64_t rows,
                            float* y) const {
  const auto epsilon = static_cast<float>(config_.norm_eps);
  if (config_.norm == blockformer::Norm::kRmsNorm) {
    return RmsNorm(x, rows, config_.hidden_size, weights.gain.data(), epsilon, y);
  }
  LayerNorm(x, rows, config_.hidden_size, weights.gain.data(), weights.bias.data(), epsilon, y);
}

}  // namespace blockformer
