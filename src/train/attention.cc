#include "train/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/parallel.h"
#include "base/rotary_angle.h"
#include "train/attention_kernels.h"

namespace blockformer {
namespace {

constexpr int64_t kMinRotations = 1 << 10;  // of a thread

}  // namespace

RotaryTable MakeRotaryTable(const torch::Tensor& positions, int64_t pairs, double base) {
  std::vector<float> frequencies;
  for (int64_t pair = 0; pair < pairs; ++pair) {
    frequencies.push_back(RotaryFrequency(pair, 2 * pairs, base));
  }
  const torch::Tensor rows = positions.cpu().contiguous();
  std::vector<int64_t> shape = positions.sizes().vec();
  shape.push_back(pairs);
  const torch::Tensor cosines = torch::empty(shape, torch::kFloat32);
  const torch::Tensor sines = torch::empty(shape, torch::kFloat32);
  const int64_t* const from = rows.data_ptr<int64_t>();
  float* const cosine = cosines.data_ptr<float>();
  float* const sine = sines.data_ptr<float>();
  ParallelFor(rows.numel(), kMinRotations / std::max<int64_t>(pairs, 1) + 1,
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin * pairs; i < end * pairs; ++i) {
                  const Rotation rotation =
                      RotaryRotation(from[i / pairs], frequencies[static_cast<size_t>(i % pairs)]);
                  cosine[i] = rotation.cosine;
                  sine[i] = rotation.sine;
                }
              });
  return {cosines.to(positions.device()), sines.to(positions.device())};
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

namespace {

class FusedAttentionFunction : public torch::autograd::Function<FusedAttentionFunction> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& query_key_value, int64_t heads,
                               const torch::Tensor& cosines, const torch::Tensor& sines,
                               const c10::optional<torch::Tensor>& padding_mask,
                               bool zero_padding) {
    const torch::Tensor mask = padding_mask.value_or(torch::Tensor());
    const torch::Tensor input = query_key_value.contiguous();
    const torch::Tensor output =
        torch::empty({input.size(0), input.size(1), input.size(2) / 3}, input.options());
    const torch::Tensor log_sums =
        torch::empty({input.size(0), heads, input.size(1)}, input.options());
    context->saved_data["heads"] = heads;
    context->saved_data["zero_padding"] = zero_padding;
    context->save_for_backward({input, cosines, sines, mask, output, log_sums});
    AttentionForward(Problem(input, heads, cosines, sines, mask, zero_padding, output, log_sums));
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const AttentionProblem problem =
        Problem(saved[0], context->saved_data["heads"].toInt(), saved[1], saved[2], saved[3],
                context->saved_data["zero_padding"].toBool(), saved[4], saved[5]);
    const torch::Tensor gradient = gradients[0].contiguous();
    const torch::Tensor result = torch::empty_like(saved[0]);
    AttentionBackward(problem, gradient.data_ptr<float>(), result.data_ptr<float>());
    return {result, {}, {}, {}, {}, {}};
  }

 private:
  static AttentionProblem Problem(const torch::Tensor& input, int64_t heads,
                                  const torch::Tensor& cosines, const torch::Tensor& sines,
                                  const torch::Tensor& mask, bool zero_padding,
                                  const torch::Tensor& output, const torch::Tensor& log_sums) {
    AttentionProblem problem;
    problem.batch = input.size(0);
    problem.rows = input.size(1);
    problem.heads = heads;
    problem.head_size = input.size(2) / heads / 3;
    problem.rotary_pairs = cosines.size(-1);
    problem.table_stride = cosines.dim() == 3 ? cosines.stride(0) : 0;
    problem.cosines = cosines.data_ptr<float>();
    problem.sines = sines.data_ptr<float>();
    problem.mask = mask.defined() ? mask.data_ptr<bool>() : nullptr;
    problem.zero_padding = zero_padding;
    problem.query_key_value = input.data_ptr<float>();
    problem.output = output.data_ptr<float>();
    problem.log_sums = log_sums.data_ptr<float>();
    return problem;
  }
};

// Whether every query that is not zeroed sees a key. The first key is seen by all.
bool AllSeeKeys(const torch::Tensor& mask, PaddingQueries padding_queries) {
  return !mask.defined() || padding_queries == PaddingQueries::kZero ||
         mask.select(1, 0).all().item<bool>();
}

}  // namespace

torch::Tensor FusedCausalAttention(const torch::Tensor& query_key_value, int64_t heads,
                                   const RotaryTable& rotary, const torch::Tensor& mask,
                                   PaddingQueries padding_queries) {
  if (query_key_value.is_cpu() && AllSeeKeys(mask, padding_queries)) {
    return FusedAttentionFunction::apply(
        query_key_value, heads, rotary.cosines.contiguous(), rotary.sines.contiguous(),
        mask.defined() ? c10::make_optional(mask.contiguous()) : c10::nullopt,
        padding_queries == PaddingQueries::kZero);
  }
  return GenericFusedAttention(query_key_value, heads, rotary, mask, padding_queries);
}

torch::Tensor GenericFusedAttention(const torch::Tensor& query_key_value, int64_t heads,
                                    const RotaryTable& rotary, const torch::Tensor& mask,
                                    PaddingQueries padding_queries) {
  const std::vector<torch::Tensor> parts =
      query_key_value.unflatten(-1, {heads, query_key_value.size(-1) / heads}).chunk(3, -1);
  return CausalAttention(RotateHeads(parts[0], rotary), RotateHeads(parts[1], rotary), parts[2],
                         mask, padding_queries);
}

}  // namespace blockformer
