#include "train/model/biased_attention.h"

#include "train/model/dropout.h"

namespace blockformer::train {
namespace {

constexpr double kHiddenScore = -1e30;  // next to it any score is 0

}  // namespace

torch::Tensor BiasedAttention(const torch::Tensor& query, const torch::Tensor& key,
                              const torch::Tensor& value, const BiasedAttentionOptions& rules) {
  const int64_t rows = query.size(1);
  const int64_t keys = key.size(1);
  torch::Tensor scores =
      torch::matmul(query.transpose(1, 2) * rules.scale, key.permute({0, 2, 3, 1}));
  if (rules.position.defined()) scores = scores + rules.position;
  if (rules.mask.defined()) {
    const torch::Tensor hidden =
        torch::zeros_like(rules.mask, query.options()).masked_fill(~rules.mask, kHiddenScore);
    scores = scores + hidden.unsqueeze(1).unsqueeze(1);
  }
  if (rules.causal) {
    const torch::Tensor earlier =
        torch::ones({rows, keys}, query.options().dtype(torch::kBool)).tril(keys - rows);
    scores = scores.masked_fill(~earlier, 2 * kHiddenScore);
  }
  const torch::Tensor probabilities = ApplyDropout(scores.softmax(-1), rules.dropout);
  return torch::matmul(probabilities, value.transpose(1, 2)).transpose(1, 2).flatten(2);
}

}  // namespace blockformer::train
