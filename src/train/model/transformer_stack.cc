#include "train/model/transformer_stack.h"

#include <algorithm>

#include "base/error.h"
#include "train/model/registration.h"

namespace blockformer::train {

class TransformerStack::Layer {
 public:
  // Registers its parts in `stack`.
  Layer(torch::nn::Module& stack, const StackConfig& config, int64_t index, ComputeType compute)
      : config_(config),
        // Queries and keys that were normalised are put together again as Split() has them.
        layout_(config.qk_norm
                    ? HeadLayout::Split(config.num_heads, config.KvHeads(), config.HeadSize())
                    : config.Heads()) {
    const StackNames names(config, "");
    for (const StackPart& part : LayerParts(config)) {
      const std::string path = names.LayerPath(index, part.role);
      if (part.is_norm) {
        const bool of_heads = part.role == Role::kQueryNorm || part.role == Role::kKeyNorm;
        norms_[part.role] =
            RegisterAt(stack, path,
                       std::make_shared<NormLayer>(of_heads ? Norm::kRmsNorm : config.norm,
                                                   part.out, config.norm_eps));
      } else {
        linears_[part.role] =
            RegisterAt(stack, path,
                       std::make_shared<LinearLayer>(part.in, part.out, part.has_bias,
                                                     /*kernel=*/0, compute));
      }
    }
  }

  // Only the rows from `first_output` on are wanted; the others serve as keys and values.
  torch::Tensor Forward(const torch::Tensor& x, const RotaryTable& rotary,
                        const StackContext& context, int64_t first_output) const {
    const torch::Tensor attention =
        Attend(Apply(Role::kAttentionNorm, x), rotary, context, first_output);
    const torch::Tensor input = first_output > 0 ? x.slice(1, first_output) : x;
    const torch::Tensor residual = input + attention;
    return residual +
           FeedForward(Apply(Role::kMlpNorm, config_.parallel_residual ? input : residual));
  }

 private:
  // What a norm or a linear layer makes of x.
  torch::Tensor Apply(Role role, const torch::Tensor& x) const {
    const auto norm = norms_.find(role);
    return norm != norms_.end() ? norm->second->Forward(x) : linears_.at(role)->Forward(x);
  }

  torch::Tensor Project(const torch::Tensor& x) const {
    const torch::Tensor projected =
        linears_.contains(Role::kQkv)
            ? Apply(Role::kQkv, x)
            : torch::cat({Apply(Role::kQuery, x), Apply(Role::kKey, x), Apply(Role::kValue, x)},
                         -1);
    if (!config_.qk_norm) return projected;
    const ProjectedHeads heads = SplitHeads(projected, config_.Heads());
    return torch::cat({Apply(Role::kQueryNorm, heads.query).flatten(-2),
                       Apply(Role::kKeyNorm, heads.key).flatten(-2), heads.value.flatten(-2)},
                      -1);
  }

  torch::Tensor Attend(const torch::Tensor& x, const RotaryTable& rotary,
                       const StackContext& context, int64_t first_output) const {
    torch::Tensor mixed =
        FusedCausalAttention(Project(x), layout_, rotary, context.mask, context.padding_queries);
    if (first_output > 0) mixed = mixed.slice(1, first_output);
    return Apply(Role::kAttentionOut, mixed);
  }

  torch::Tensor FeedForward(const torch::Tensor& x) const {
    const torch::Tensor up = Apply(Role::kUp, x);
    switch (config_.mlp) {
      case Mlp::kGelu:
        return Apply(Role::kDown, torch::gelu(up));
      case Mlp::kRelu:
        return Apply(Role::kDown, torch::relu(up));
      case Mlp::kSwiGlu:
        return Apply(Role::kDown, torch::silu(Apply(Role::kGate, x)) * up);
    }
    Fail(ErrorCode::kInternal, "unknown kind of feed-forward layer");
  }

  StackConfig config_;
  HeadLayout layout_;  // of what Project() returns
  std::map<Role, std::shared_ptr<NormLayer>> norms_;
  std::map<Role, std::shared_ptr<LinearLayer>> linears_;
};

TransformerStack::TransformerStack(const StackConfig& config, ComputeType compute)
    : config_(config) {
  for (int64_t i = 0; i < config.num_layers; ++i) {
    layers_.push_back(std::make_shared<const Layer>(*this, config, i, compute));
  }
  final_norm_ =
      RegisterAt(*this, StackNames(config, "").OuterPath(Role::kFinalNorm),
                 std::make_shared<NormLayer>(config.norm, config.hidden_size, config.norm_eps));
}

torch::Tensor TransformerStack::Forward(const torch::Tensor& x, const StackContext& context) const {
  const RotaryTable rotary = MakeRotaryTable(context.positions, config_.Rotary());
  torch::Tensor hidden = x;
  for (const auto& layer : layers_) {
    const bool last = layer == layers_.back();
    hidden = layer->Forward(hidden, rotary, context, last ? context.first_output : 0);
  }
  return final_norm_->Forward(hidden);
}

StackVocabulary::StackVocabulary(torch::nn::Module& owner, TransformerStack& stack,
                                 const StackConfig& config, int64_t vocab_size,
                                 ComputeType compute) {
  const StackNames names(config, "");
  table_ = RegisterAt(stack, names.OuterPath(Role::kTable),
                      std::make_shared<EmbeddingTable>(vocab_size, config.hidden_size));
  if (config.tied_head) return;
  head_ = RegisterAt(owner, names.OuterPath(Role::kHead),
                     std::make_shared<LinearLayer>(config.hidden_size, vocab_size, /*bias=*/false,
                                                   /*kernel=*/0, compute));
}

}  // namespace blockformer::train
