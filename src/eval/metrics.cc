#include "eval/metrics.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/random.h"

namespace blockformer {
namespace {

constexpr int kResamples = 2000;
constexpr uint64_t kBootstrapSeed = 1234;

int64_t LikeliestChoice(const TaskItem& item, std::span<const RequestScore> scores,
                        bool by_length) {
  size_t likeliest = 0;
  const auto rank = [&](size_t i) {
    return scores[i].log_likelihood / (by_length ? item.choice_lengths[i] : 1);
  };
  for (size_t i = 1; i < scores.size(); ++i) {
    if (rank(i) > rank(likeliest)) likeliest = i;
  }
  return static_cast<int64_t>(likeliest);
}

bool IsRight(Metric metric, const TaskItem& item, std::span<const RequestScore> scores) {
  const bool has_choices = item.target.has_value();
  if (!has_choices) return scores[0].is_greedy;  // of the only continuation
  return LikeliestChoice(item, scores, metric == Metric::kAccNorm) == *item.target;
}

double Mean(std::span<const MetricSample> samples) {
  double sum = 0;
  for (const MetricSample& sample : samples) sum += sample.value;
  return sum / static_cast<double>(samples.size());
}

std::optional<double> ErrorOfMean(std::span<const MetricSample> samples) {
  if (samples.size() < 2) return std::nullopt;
  const double mean = Mean(samples);
  double squares = 0;
  for (const MetricSample& sample : samples)
    squares += (sample.value - mean) * (sample.value - mean);
  const double count = static_cast<double>(samples.size());
  return std::sqrt(squares / (count - 1) / count);
}

// The standard deviation of the perplexity over samples drawn with replacement.
std::optional<double> BootstrapError(std::span<const MetricSample> samples) {
  if (samples.size() < 2) return std::nullopt;
  Random random(kBootstrapSeed);
  double sum = 0;
  double squares = 0;
  const double first = std::exp(-Mean(samples));  // keeps the sums small
  for (int i = 0; i < kResamples; ++i) {
    double total = 0;
    for (size_t j = 0; j < samples.size(); ++j)
      total += samples[random.Below(samples.size())].value;
    const double difference = std::exp(-total / static_cast<double>(samples.size())) - first;
    sum += difference;
    squares += difference * difference;
  }
  const double mean = sum / kResamples;
  return std::sqrt(std::max(0.0, (squares - kResamples * mean * mean) / (kResamples - 1)));
}

}  // namespace

MetricSample SampleOf(Metric metric, const TaskItem& item, std::span<const RequestScore> scores) {
  if (IsAccuracy(metric)) return {IsRight(metric, item, scores) ? 1.0 : 0.0, 1};
  const double log_likelihood = scores[0].log_likelihood;
  if (metric == Metric::kPerplexity) return {log_likelihood, 1};
  const int64_t weight = metric == Metric::kWordPerplexity ? item.words : item.bytes;
  return {log_likelihood, static_cast<double>(weight)};
}

MetricValue Aggregate(Metric metric, std::span<const MetricSample> samples) {
  if (IsAccuracy(metric)) return {Mean(samples), ErrorOfMean(samples)};
  if (metric == Metric::kPerplexity) return {std::exp(-Mean(samples)), BootstrapError(samples)};
  double log_likelihood = 0;
  double weight = 0;
  for (const MetricSample& sample : samples) {
    log_likelihood += sample.value;
    weight += sample.weight;
  }
  const double nats = -log_likelihood / weight;
  if (metric == Metric::kBitsPerByte) return {nats / std::numbers::ln2, std::nullopt};
  return {std::exp(nats), std::nullopt};
}

}  // namespace blockformer
