#include "cpu/transformer_stack.h"

#include <algorithm>

#include "kernels/attention.h"
#include "kernels/layer_norm.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"

namespace blockformer {

BlockState::BlockState(const StackConfig& config, int64_t blocks, int64_t positions)
    : blocks_(blocks), rotary_(positions, config.Rotary()) {
  BlockCache layer = {nullptr, config.KvHeads(), config.HeadSize(), positions};
  const int64_t layer_floats = blocks * layer.BlockFloats();
  memory_ = AlignedBuffer(config.num_layers * layer_floats * static_cast<int64_t>(sizeof(float)));
  const MatrixView<float> memory(memory_.As<float>(), config.num_layers, layer_floats);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    layer.memory = memory.Row(i).data();
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

MatrixView<float> TransformerStack::Forward(const std::vector<AttentionRow>& rows,
                                            const std::vector<int64_t>& wanted, MatrixView<float> x,
                                            PagedState* state) const {
  const AttentionRule rule = ScaledAttention(layout_);
  std::vector<AttentionRow> wanted_rows;
  for (const int64_t row : wanted) wanted_rows.push_back(rows[row]);
  const auto attend = [&](int64_t layer, bool last, MatrixView<float> qkv, MatrixView<float> out) {
    const KvPages& cache = state->cache.Layer(layer);
    StoreKeysAndValues(cache, layout_, &state->rotary, rows.data(), qkv.rows(), qkv.data());
    if (last) qkv = KeepRows(qkv, wanted);
    const std::vector<AttentionRow>& queries = last ? wanted_rows : rows;
    Attend(cache, rule, queries.data(), qkv.rows(), qkv.data(), out.data());
  };
  return RunLayers(wanted, attend, x, &state->scratch);
}

MatrixView<float> TransformerStack::Forward(const BlockStep& step, MatrixView<float> x,
                                            BlockState* state) const {
  std::vector<int64_t> wanted;
  for (int64_t block = 0; block < step.blocks; ++block) {
    for (int64_t i = step.count - step.wanted; i < step.count; ++i) {
      wanted.push_back(block * step.count + i);
    }
  }
  BlockStep all = step;
  all.wanted = step.count;
  const auto attend = [&](int64_t layer, bool last, MatrixView<const float> qkv,
                          MatrixView<float> out) {
    AttendInBlock(state->layers_[layer], layout_, state->rotary_, last ? step : all, qkv.data(),
                  out.data());
  };
  return RunLayers(wanted, attend, x, &state->scratch_);
}

MatrixView<float> TransformerStack::RunLayers(const std::vector<int64_t>& wanted,
                                              const AttendLayer& attend, MatrixView<float> x,
                                              StackScratch* scratch) const {
  scratch->normed.Resize(x.rows(), config_.hidden_size);
  scratch->qkv.Resize(x.rows(), layout_.width);
  scratch->attention.Resize(x.rows(), layout_.OutputWidth());
  scratch->inner.Resize(x.rows(), config_.intermediate_size);
  for (int64_t i = 0; i < std::ssize(layers_); ++i) {
    const Layer& layer = layers_[i];
    const bool last = i + 1 == std::ssize(layers_);
    Project(layer, x, scratch);
    if (last) x = KeepRows(x, wanted);
    const MatrixView<float> normed = scratch->normed.Rows(0, x.rows());
    const MatrixView<float> attention = scratch->attention.Rows(0, x.rows());
    const MatrixView<float> inner = scratch->inner.Rows(0, x.rows());
    attend(i, last, scratch->qkv, attention);
    // Parallel: x + attention(norm(x)) + mlp(norm(x)); sequential: the MLP sees attention's sum.
    if (config_.parallel_residual) Norm(layer.mlp_norm, x, normed);
    layer.out.Apply(attention, Epilogue::kAdd, x);
    if (!config_.parallel_residual) Norm(layer.mlp_norm, x, normed);
    RunMlp(layer, normed, inner, scratch);
    layer.down.Apply(inner, Epilogue::kAdd, x);
  }
  return x;
}

void TransformerStack::Project(const Layer& layer, MatrixView<const float> x,
                               StackScratch* scratch) const {
  Norm(layer.attention_norm, x, scratch->normed);
  layer.qkv.Apply(scratch->normed, Epilogue::kStore, scratch->qkv);
  if (!config_.qk_norm) return;
  RmsNormHeads(layout_, layer.query_norm.gain.data(), layer.key_norm.gain.data(),
               static_cast<float>(config_.norm_eps), x.rows(), scratch->qkv.data());
}

void TransformerStack::RunMlp(const Layer& layer, MatrixView<const float> x,
                              MatrixView<float> inner, StackScratch* scratch) const {
  switch (config_.mlp) {
    case Mlp::kGelu:
      return layer.up.Apply(x, Epilogue::kGelu, inner);
    case Mlp::kRelu:
      return layer.up.Apply(x, Epilogue::kRelu, inner);
    case Mlp::kSwiGlu:
      scratch->gated.Resize(x.rows(), 2 * inner.columns());
      layer.up.Apply(x, Epilogue::kStore, scratch->gated);
      return SwiGlu(scratch->gated.data(), x.rows(), inner.columns(), inner.data());
  }
}

void TransformerStack::FinalNorm(MatrixView<float> x) const { Norm(final_norm_, x, x); }

void TransformerStack::Norm(const NormWeights& weights, MatrixView<const float> x,
                            MatrixView<float> y) const {
  const auto epsilon = static_cast<float>(config_.norm_eps);
  if (config_.norm == blockformer::Norm::kRmsNorm) {
    return RmsNorm(x.data(), x.rows(), x.columns(), weights.gain.data(), epsilon, y.data());
  }
  LayerNorm(x.data(), x.rows(), x.columns(), weights.gain.data(), weights.bias.data(), epsilon,
            y.data());
}

}  // namespace blockformer
