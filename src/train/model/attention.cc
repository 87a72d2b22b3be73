#include "train/model/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/parallel.h"
#include "train/kernels/attention_kernels.h"

namespace blockformer::train {
namespace {

constexpr int64_t kMinRotations = 1 << 10;  // of a thread

}  // namespace

RotaryTable MakeRotaryTable(const torch::Tensor& positions, const RotaryRule& rule) {
  const std::vector<float> frequencies = RotaryFrequencies(rule);
  const int64_t pairs = std::ssize(frequencies);
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
                  const Rotation rotation = RotaryRotation(from[i / pairs], frequencies[i % pairs],
                                                           rule.scaling.attention_factor);
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
  const int64_t group = query.size(2) / key.size(2);
  const auto shared = [&](const torch::Tensor& heads) {
    return group == 1 ? heads : heads.repeat_interleave(group, 2);
  };
  torch::Tensor scores =
      torch::matmul(query.transpose(1, 2) * scale, shared(key).permute({0, 2, 3, 1}));
  const torch::Tensor earlier =
      torch::ones({rows, keys}, query.options().dtype(torch::kBool)).tril(keys - rows);
  scores = scores.masked_fill(~earlier, kLowest);
  if (mask.defined()) {
    const torch::Tensor hidden =
        torch::zeros_like(mask, query.options()).masked_fill(~mask, kLowest);
    scores = scores + hidden.unsqueeze(1).unsqueeze(1);
  }
  const torch::Tensor output =
      torch::matmul(scores.softmax(-1), shared(value).transpose(1, 2)).transpose(1, 2).flatten(2);
  if (!mask.defined() || padding_queries == PaddingQueries::kAttend) return output;
  return output.masked_fill(~mask.narrow(1, keys - rows, rows).unsqueeze(-1), 0.0);
}

namespace {

std::vector<int64_t> ToNumbers(const HeadLayout& layout) {
  return {layout.heads,        layout.kv_heads,   layout.head_size,    layout.width,
          layout.group_stride, layout.key_offset, layout.value_offset, layout.kv_stride};
}

HeadLayout LayoutOf(const std::vector<int64_t>& numbers) {
  return {numbers[0], numbers[1], numbers[2], numbers[3],
          numbers[4], numbers[5], numbers[6], numbers[7]};
}

class FusedAttentionFunction : public torch::autograd::Function<FusedAttentionFunction> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& projected, const HeadLayout& layout,
                               const torch::Tensor& cosines, const torch::Tensor& sines,
                               const c10::optional<torch::Tensor>& padding_mask,
                               bool zero_padding) {
    const torch::Tensor mask = padding_mask.value_or(torch::Tensor());
    const torch::Tensor input = projected.contiguous();
    const torch::Tensor output =
        torch::empty({input.size(0), input.size(1), layout.OutputWidth()}, input.options());
    const torch::Tensor log_sums =
        torch::empty({input.size(0), layout.heads, input.size(1)}, input.options());
    context->saved_data["layout"] = ToNumbers(layout);
    context->saved_data["zero_padding"] = zero_padding;
    context->save_for_backward({input, cosines, sines, mask, output, log_sums});
    AttentionForward(Problem(input, layout, cosines, sines, mask, zero_padding, output, log_sums));
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const HeadLayout layout = LayoutOf(context->saved_data["layout"].toIntVector());
    const AttentionProblem problem =
        Problem(saved[0], layout, saved[1], saved[2], saved[3],
                context->saved_data["zero_padding"].toBool(), saved[4], saved[5]);
    const torch::Tensor gradient = gradients[0].contiguous();
    const torch::Tensor result = torch::empty_like(saved[0]);
    AttentionBackward(problem, gradient.data_ptr<float>(), result.data_ptr<float>());
    return {result, {}, {}, {}, {}, {}};
  }

 private:
  static AttentionProblem Problem(const torch::Tensor& input, const HeadLayout& layout,
                                  const torch::Tensor& cosines, const torch::Tensor& sines,
                                  const torch::Tensor& mask, bool zero_padding,
                                  const torch::Tensor& output, const torch::Tensor& log_sums) {
    AttentionProblem problem;
    problem.batch = input.size(0);
    problem.rows = input.size(1);
    problem.layout = layout;
    problem.rotary_pairs = cosines.size(-1);
    problem.table_stride = cosines.dim() == 3 ? cosines.stride(0) : 0;
    problem.cosines = cosines.data_ptr<float>();
    problem.sines = sines.data_ptr<float>();
    problem.mask = mask.defined() ? mask.data_ptr<bool>() : nullptr;
    problem.zero_padding = zero_padding;
    problem.projected = input.data_ptr<float>();
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

ProjectedHeads SplitHeads(const torch::Tensor& projected, const HeadLayout& layout) {
  // Vectors of head_size; each kind begins at a multiple of that.
  const int64_t size = layout.head_size;
  const torch::Tensor vectors = projected.unflatten(-1, {layout.width / size, size});
  const auto every = [&](int64_t offset) {
    return vectors.slice(-2, offset / size,
                         offset / size + 1 + (layout.kv_heads - 1) * layout.kv_stride / size,
                         layout.kv_stride / size);
  };
  torch::Tensor query;
  const int64_t group = layout.GroupSize();
  if (layout.group_stride == group * size) {
    query = vectors.narrow(-2, 0, layout.heads);
  } else {
    query = projected.unflatten(-1, {layout.kv_heads, layout.group_stride / size, size})
                .narrow(-2, 0, group)
                .flatten(-3, -2);
  }
  return {query, every(layout.key_offset), every(layout.value_offset)};
}

torch::Tensor FusedCausalAttention(const torch::Tensor& projected, const HeadLayout& layout,
                                   const RotaryTable& rotary, const torch::Tensor& mask,
                                   PaddingQueries padding_queries) {
  if (projected.is_cpu() && AllSeeKeys(mask, padding_queries)) {
    return FusedAttentionFunction::apply(
        projected, layout, rotary.cosines.contiguous(), rotary.sines.contiguous(),
        mask.defined() ? c10::make_optional(mask.contiguous()) : c10::nullopt,
        padding_queries == PaddingQueries::kZero);
  }
  return GenericFusedAttention(projected, layout, rotary, mask, padding_queries);
}

torch::Tensor GenericFusedAttention(const torch::Tensor& projected, const HeadLayout& layout,
                                    const RotaryTable& rotary, const torch::Tensor& mask,
                                    PaddingQueries padding_queries) {
  const ProjectedHeads heads = SplitHeads(projected, layout);
  return CausalAttention(RotateHeads(heads.query, rotary), RotateHeads(heads.key, rotary),
                         heads.value, mask, padding_queries);
}

}  // namespace blockformer::train
