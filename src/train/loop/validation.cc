#include "train/loop/validation.h"

#include <algorithm>
#include <span>

namespace blockformer::train {
namespace {

// What this process computes of `wanted` samples.
std::vector<int64_t> OwnSamples(int64_t wanted, int64_t available, const ProcessGroup& group) {
  std::vector<int64_t> samples;
  for (int64_t i = group.rank(); i < wanted; i += group.size()) {
    samples.push_back(i * available / wanted);
  }
  return samples;
}

// The mean loss at each position; `sums` is f64 [2, block length]: losses, and their numbers.
std::vector<std::optional<double>> Means(const torch::Tensor& sums) {
  std::vector<std::optional<double>> means;
  const auto values = sums.accessor<double, 2>();
  for (int64_t i = 0; i < values.size(1); ++i) {
    means.push_back(values[1][i] > 0 ? std::optional(values[0][i] / values[1][i]) : std::nullopt);
  }
  return means;
}

}  // namespace

std::optional<ValidationLoss> MeasureValidationLoss(LanguageModel& model, const BatchLoader& data,
                                                    int64_t samples, int64_t micro_batch,
                                                    const torch::Device& device,
                                                    ProcessGroup* group) {
  const torch::NoGradGuard no_grad;
  const int64_t available = data.NumSamples();
  const std::vector<int64_t> own = OwnSamples(std::min(samples, available), available, *group);
  const auto doubles = torch::TensorOptions(device).dtype(torch::kFloat64);
  const torch::Tensor total = torch::zeros({2}, doubles);  // losses, and their number
  const torch::Tensor by_position = torch::zeros({2, model.config().block_length}, doubles);
  for (std::span<const int64_t> rest = own; !rest.empty();) {
    const size_t count = std::min(rest.size(), static_cast<size_t>(micro_batch));
    const TokenLoss loss = model.Loss(data.Read(rest.first(count), device));
    total[0].add_(loss.sum);
    total[1].add_(loss.count);
    by_position[0].add_(loss.sum_by_position);
    by_position[1].add_(loss.count_by_position);
    rest = rest.subspan(count);
  }
  group->Sum({total, by_position});
  const double count = total[1].item<double>();
  if (count == 0) return std::nullopt;
  return ValidationLoss{total[0].item<double>() / count, Means(by_position.cpu())};
}

}  // namespace blockformer::train
