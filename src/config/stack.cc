#include "config/stack.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"

namespace blockformer {
namespace {

// A row of the table: what a family calls each role. Roles of layers lie below BODY.layers.N, the
// final norm and the table below BODY, the head beside it.
struct FamilyRow {
  FamilyNames names;
  const char* body;
  bool has_unused_table;
  std::vector<std::pair<Role, const char*>> roles;
};

// Llama's names, which others took over.
FamilyRow LlamaRow(FamilyNames names) {
  return {names,
          "model",
          false,
          {{Role::kAttentionNorm, "input_layernorm"},
           {Role::kQuery, "self_attn.q_proj"},
           {Role::kKey, "self_attn.k_proj"},
           {Role::kValue, "self_attn.v_proj"},
           {Role::kQueryNorm, "self_attn.q_norm"},
           {Role::kKeyNorm, "self_attn.k_norm"},
           {Role::kAttentionOut, "self_attn.o_proj"},
           {Role::kMlpNorm, "post_attention_layernorm"},
           {Role::kGate, "mlp.gate_proj"},
           {Role::kUp, "mlp.up_proj"},
           {Role::kDown, "mlp.down_proj"},
           {Role::kFinalNorm, "norm"},
           {Role::kTable, "embed_tokens"},
           {Role::kHead, "lm_head"}}};
}

const std::vector<FamilyRow>& Table() {
  static const std::vector<FamilyRow> table = {
      {{StackFamily::kGptNeox, "GPT-NeoX", "gpt_neox", "GPTNeoXForCausalLM"},
       "gpt_neox",
       true,
       {{Role::kAttentionNorm, "input_layernorm"},
        {Role::kQkv, "attention.query_key_value"},
        {Role::kQueryNorm, "attention.query_norm"},
        {Role::kKeyNorm, "attention.key_norm"},
        {Role::kAttentionOut, "attention.dense"},
        {Role::kMlpNorm, "post_attention_layernorm"},
        {Role::kGate, "mlp.dense_h_to_4h_gate"},
        {Role::kUp, "mlp.dense_h_to_4h"},
        {Role::kDown, "mlp.dense_4h_to_h"},
        {Role::kFinalNorm, "final_layer_norm"},
        {Role::kTable, "embed_in"},
        {Role::kHead, "embed_out"}}},
      LlamaRow({StackFamily::kLlama, "Llama", "llama", "LlamaForCausalLM"}),
      LlamaRow({StackFamily::kMistral, "Mistral", "mistral", "MistralForCausalLM"}),
      LlamaRow({StackFamily::kQwen2, "Qwen2", "qwen2", "Qwen2ForCausalLM"}),
      LlamaRow({StackFamily::kQwen3, "Qwen3", "qwen3", "Qwen3ForCausalLM"})};
  return table;
}

const FamilyRow& RowOf(StackFamily family) {
  return *std::ranges::find(Table(), family, [](const FamilyRow& row) { return row.names.family; });
}

const char* NameOfRole(StackFamily family, Role role) {
  for (const auto& [named, name] : RowOf(family).roles) {
    if (named == role) return name;
  }
  return nullptr;
}

// Whether queries, keys and values are one tensor.
bool IsFused(StackFamily family) { return NameOfRole(family, Role::kQkv) != nullptr; }

StackPart NormPart(Role role, int64_t width, bool has_bias) {
  StackPart part;
  part.role = role;
  part.is_norm = true;
  part.has_bias = has_bias;
  part.out = width;
  return part;
}

}  // namespace

HeadLayout StackConfig::Heads() const {
  return IsFused(family) ? HeadLayout::Grouped(num_heads, KvHeads(), HeadSize())
                         : HeadLayout::Split(num_heads, KvHeads(), HeadSize());
}

std::vector<StackPart> LayerParts(const StackConfig& config) {
  const int64_t width = config.hidden_size;
  const int64_t inner = config.intermediate_size;
  const int64_t queries = config.AttentionWidth();
  const int64_t keys = config.KvHeads() * config.HeadSize();
  const bool norm_bias = config.norm == Norm::kLayerNorm;
  std::vector<StackPart> parts = {NormPart(Role::kAttentionNorm, width, norm_bias),
                                  NormPart(Role::kMlpNorm, width, norm_bias)};
  const auto add = [&](Role role, bool has_bias, int64_t out, int64_t in, Role input) {
    parts.push_back({role, /*is_norm=*/false, has_bias, out, in, input});
  };
  const bool fused = IsFused(config.family);
  if (fused) {
    add(Role::kQkv, config.qkv_bias, queries + 2 * keys, width, Role::kAttentionNorm);
  } else {
    add(Role::kQuery, config.qkv_bias, queries, width, Role::kAttentionNorm);
    add(Role::kKey, config.qkv_bias, keys, width, Role::kAttentionNorm);
    add(Role::kValue, config.qkv_bias, keys, width, Role::kAttentionNorm);
  }
  if (config.qk_norm) {
    parts.push_back(NormPart(Role::kQueryNorm, config.HeadSize(), false));
    parts.push_back(NormPart(Role::kKeyNorm, config.HeadSize(), false));
  }
  add(Role::kAttentionOut, config.attention_out_bias, width, queries,
      fused ? Role::kQkv : Role::kValue);
  if (config.mlp == Mlp::kSwiGlu) add(Role::kGate, config.mlp_bias, inner, width, Role::kMlpNorm);
  add(Role::kUp, config.mlp_bias, inner, width, Role::kMlpNorm);
  add(Role::kDown, config.mlp_bias, width, inner, Role::kUp);
  return parts;
}

StackPart FinalNormPart(const StackConfig& config) {
  return NormPart(Role::kFinalNorm, config.hidden_size, config.norm == Norm::kLayerNorm);
}

StackNames::StackNames(const StackConfig& config, std::string owner)
    : family_(config.family), owner_(std::move(owner)) {}

std::string StackNames::LayerPath(int64_t layer, Role role) const {
  const char* name = NameOfRole(family_, role);
  Require(name != nullptr, ErrorCode::kInternal, "{} has no name for role {}",
          NamesOf(family_).model_type, static_cast<int>(role));
  return fmt::format("layers.{}.{}", layer, name);
}

std::string StackNames::OuterPath(Role role) const { return NameOfRole(family_, role); }

std::string StackNames::Body() const { return owner_ + RowOf(family_).body; }

std::string StackNames::Layer(int64_t layer, Role role) const {
  return fmt::format("{}.{}", Body(), LayerPath(layer, role));
}

std::string StackNames::Outer(Role role) const {
  if (role == Role::kHead) return owner_ + OuterPath(role);
  return fmt::format("{}.{}", Body(), OuterPath(role));
}

const std::vector<FamilyNames>& Families() {
  static const std::vector<FamilyNames> families = [] {
    std::vector<FamilyNames> names;
    for (const FamilyRow& row : Table()) names.push_back(row.names);
    return names;
  }();
  return families;
}

const FamilyNames& NamesOf(StackFamily family) { return RowOf(family).names; }

bool HasUnusedTable(StackFamily family) { return RowOf(family).has_unused_table; }

bool IsOldBuffer(std::string_view name) {
  constexpr std::string_view kSuffixes[] = {".attention.bias", ".attention.masked_bias",
                                            ".rotary_emb.inv_freq"};
  return std::ranges::any_of(kSuffixes,
                             [&](std::string_view suffix) { return name.ends_with(suffix); });
}

}  // namespace blockformer
