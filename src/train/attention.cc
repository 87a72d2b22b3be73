#include "train/attention.h"

#include <cmath>
#include <limits>

namespace blockformer {

RotaryTable MakeRotaryTable(const torch::Tensor& positions, int64_t pairs, double base) {
  const auto options = positions.options().dtype(torch::kFloat64);
  const torch::Tensor exponents =
      torch::arange(pairs, options) * (-1.0 / static_cast<double>(std::max<int64_t>(pairs, 1)));
  const torch::Tensor angles =
      positions.to(torch::kFloat64).unsqueeze(-1) * torch::pow(base, exponents);
  return {angles.cos().to(torch::kFloat32), angles.sin().to(torch::kFloat32)};
}

torch::Tensor RotateHeads(const torch::Tensor& x, const RotaryTable& rotary) {
  const int64_t pairs = rotary.cosines.size(-1);
  if (pairs == 0) return x;
  const torch::Tensor cosines = rotary.cosines.unsqueeze(-2);
  const torch::Tensor sines = rotary.sines.unsqueeze(-2);
  const torch::Tensor first = x.narrow(-1, 0, pairs);
  const torch::Tensor second = x.narrow(-1, pairs, pairs);
  const torch::Tensor rest = x.narrow(-1, 2 * pairs, x.size(-1) - 2 * pairs);
  return torch::cat({first * cosines - second * sines, second * cosines + first * sines, rest}, -1);
}

torch::Tensor CausalAttention(const torch::Tensor& query, const torch::Tensor& key,
                              const torch::Tensor& value, const torch::Tensor& mask,
                              PaddingQueries padding_queries) {
  constexpr float kLowest = std::numeric_limits<float>::lowest();
  const int64_t rows = query.size(1);
  const int64_t keys = key.size(1);
  const double scale = 1.0 / std::sqrt(static_cast<double>(query.size(-1)));
  torch::Tensor scores = torch::matmul(query.transpose(1, 2) * scale, key.permute({0, 2, 3, 1}));
  const torch::Tensor earlier =
      torch::ones({rows, keys}, query.options().dtype(torch::kBool)).tril(keys - rows);
  scores = scores.masked_fill(~earlier, kLowest);
  if (mask.defined()) {
    const torch::Tensor hidden =
        torch::zeros_like(mask, query.options()).masked_fill(~mask, kLowest);
    scores = scores + hidden.unsqueeze(1).unsqueeze(1);
  }
  const torch::Tensor output =
      torch::matmul(scores.softmax(-1), value.transpose(1, 2)).transpose(1, 2).flatten(2);
  if (!mask.defined() || padding_queries == PaddingQueries::kAttend) return output;
  return output.masked_fill(~mask.narrow(1, keys - rows, rows).unsqueeze(-1), 0.0);
}

torch::Tensor FusedCausalAttention(const torch::Tensor& query_key_value, int64_t heads,
                                   const RotaryTable& rotary, const torch::Tensor& mask,
                                   PaddingQueries padding_queries) {
  const std::vector<torch::Tensor> parts =
      query_key_value.unflatten(-1, {heads, query_key_value.size(-1) / heads}).chunk(3, -1);
  return CausalAttention(RotateHeads(parts[0], rotary), RotateHeads(parts[1], rotary), parts[2],
                         mask, padding_queries);
}

}  // namespace blockformer
