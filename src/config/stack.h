#ifndef BLOCKFORMER_CONFIG_STACK_H_
#define BLOCKFORMER_CONFIG_STACK_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/head_layout.h"
#include "base/rotary_angle.h"

namespace blockformer {

// A stack of decoder layers as data, and the one table of what its tensors are called. Both
// programs and everything between them follow it: to add a family of checkpoints is to add a row to
// the table in stack.cc and the fields of its configuration to stack_json.cc.

// The checkpoints whose names and configuration fields a stack has.
enum class StackFamily { kGptNeox, kLlama, kMistral, kQwen2, kQwen3 };

enum class Norm {
  kLayerNorm,  // with gain and bias
  kRmsNorm,    // with gain (Zhang and Sennrich, arXiv 1910.07467)
};

enum class Mlp {
  kGelu,    // down(GELU(up(x))), the exact form with erf
  kRelu,    // down(max(up(x), 0))
  kSwiGlu,  // down(silu(gate(x)) * up(x)) (Shazeer, arXiv 2002.05202)
};

struct StackConfig {
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t intermediate_size = 0;  // width of the feed-forward layer
  double rotary_pct = 0.25;       // share of a head's dimensions that is rotated
  double rotary_base = 10000;
  // x + attention(norm(x)) + mlp(norm(x)), or the MLP sees the sum before it.
  bool parallel_residual = true;
  double norm_eps = 1e-5;
  StackFamily family = StackFamily::kGptNeox;
  int64_t num_kv_heads = 0;  // divides num_heads; 0: as many
  int64_t head_dim = 0;      // 0: hidden_size / num_heads
  Norm norm = Norm::kLayerNorm;
  Mlp mlp = Mlp::kGelu;
  bool qkv_bias = true;
  bool attention_out_bias = true;
  bool mlp_bias = true;
  bool qk_norm = false;    // an RMS norm of every query and key, before rotation
  bool tied_head = false;  // the output head is the table of embeddings
  RotaryScaling rotary_scaling = {};

  int64_t HeadSize() const { return head_dim > 0 ? head_dim : hidden_size / num_heads; }
  int64_t KvHeads() const { return num_kv_heads > 0 ? num_kv_heads : num_heads; }
  // The width of what attention writes, before its output layer.
  int64_t AttentionWidth() const { return num_heads * HeadSize(); }
  int64_t RotarySize() const {
    return static_cast<int64_t>(static_cast<double>(HeadSize()) * rotary_pct);
  }
  RotaryRule Rotary() const { return {RotarySize(), rotary_base, rotary_scaling}; }
  // Where the heads lie in a row of all queries, keys and values, projected together.
  HeadLayout Heads() const;
  bool operator==(const StackConfig&) const = default;
};

// What a tensor does in a stack.
enum class Role {
  kNone,  // it belongs to no stack
  kAttentionNorm,
  kQkv,  // queries, keys and values in one; or
  kQuery,
  kKey,
  kValue,
  kQueryNorm,
  kKeyNorm,
  kAttentionOut,
  kMlpNorm,
  kGate,
  kUp,
  kDown,
  kFinalNorm,
  kTable,  // of embeddings
  kHead,   // the output head
};

// A norm or a linear layer of a stack: its parameters are NAME.weight and, unless has_bias is
// false, NAME.bias.
struct StackPart {
  Role role = Role::kNone;
  bool is_norm = false;
  bool has_bias = false;
  int64_t out = 0;
  int64_t in = 0;            // 0 of norms, whose weight is [out]; the others' is [out, in]
  Role input = Role::kNone;  // the part whose output it reads; kAttentionOut: whose values it
                             // averages; kDown: kUp, times that of kGate where there is one
};

// The parts of one layer, in the order of checkpoints' lists.
std::vector<StackPart> LayerParts(const StackConfig& config);
StackPart FinalNormPart(const StackConfig& config);

// Names of a stack's tensors, without ".weight" and ".bias". `owner` is what they begin with:
// nothing in a vanilla model, "block_decoder." or "token_decoder.".
class StackNames {
 public:
  StackNames(const StackConfig& config, std::string owner);

  // A part of a layer.
  std::string Layer(int64_t layer, Role role) const;
  // kFinalNorm, kTable or kHead.
  std::string Outer(Role role) const;

  // The same as paths below the stack's own modules, such as "layers.0.attention".
  std::string LayerPath(int64_t layer, Role role) const;
  std::string OuterPath(Role role) const;
  // The modules that hold the stack, with the owner: "block_decoder.gpt_neox".
  std::string Body() const;

 private:
  StackFamily family_;
  std::string owner_;
};

// What a family is called, and that in configurations ("model_type", "architectures").
struct FamilyNames {
  StackFamily family;
  const char* title;         // "GPT-NeoX"
  const char* model_type;    // "gpt_neox"
  const char* architecture;  // "GPTNeoXForCausalLM"
};
const std::vector<FamilyNames>& Families();
const FamilyNames& NamesOf(StackFamily family);

// Whether published block models of the family hold a table in the block decoder, which nothing
// reads.
bool HasUnusedTable(StackFamily family);

// Whether a tensor is a buffer that older versions of Hugging Face's classes wrote beside a layer's
// parameters.
bool IsOldBuffer(std::string_view name);

}  // namespace blockformer

#endif  // BLOCKFORMER_CONFIG_STACK_H_
