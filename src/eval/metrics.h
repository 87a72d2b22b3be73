#ifndef BLOCKFORMER_EVAL_METRICS_H_
#define BLOCKFORMER_EVAL_METRICS_H_

#include <optional>
#include <span>
#include <vector>

#include "eval/task.h"
#include "eval/task_scores.h"

namespace blockformer {

// What one item adds to a metric.
struct MetricSample {
  double value = 0;   // 0 or 1 of an accuracy, the log-likelihood (nats) of a perplexity
  double weight = 1;  // the words or bytes that the log-likelihood is of
};

// `scores` are those of the item's requests. An accuracy takes the first of equal choices; acc_norm
// divides the log-likelihoods by the choices' characters.
MetricSample SampleOf(Metric metric, const TaskItem& item, std::span<const RequestScore> scores);

struct MetricValue {
  double value = 0;
  std::optional<double> standard_error;
};

// A metric over at least one item, and its standard error where lm-evaluation-harness has one: of
// an accuracy that of the mean, of kPerplexity the bootstrap's, whose draws are the same each time.
MetricValue Aggregate(Metric metric, std::span<const MetricSample> samples);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_METRICS_H_
