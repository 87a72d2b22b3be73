#include "eval/compare_reports.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <numbers>
#include <utility>

#include "base/error.h"
#include "base/table.h"
#include "eval/metrics.h"

namespace blockformer {
namespace {

// What a report says of a metric of a task.
struct ReportedMetric {
  double value = 0;
  std::vector<MetricSample> samples;  // one an item
};

// What a report says of a task.
struct ReportedTask {
  std::string place;  // for messages
  Json hash;
  std::map<Metric, ReportedMetric> metrics;  // without those that are null
};

void CheckReport(const Json& report, const std::string& source) {
  for (const char* key : {"results", "samples", "task_hashes"}) {
    Require(report.is_object() && report.contains(key) && report[key].is_object(),
            ErrorCode::kCorrupt,
            "{}: has no \"{}\"; a file that `blockformer eval tasks --json` wrote is wanted",
            source, key);
  }
}

std::vector<MetricSample> ReadSamples(const Json& items, Metric metric, const std::string& place) {
  std::vector<MetricSample> samples;
  for (const Json& item : items) {
    const char* name = MetricName(metric);
    const Json value = item.is_object() && item.contains(name) ? item[name] : Json();
    const bool is_pair =
        value.is_array() && value.size() == 2 && value[0].is_number() && value[1].is_number();
    Require(value.is_number() || is_pair, ErrorCode::kCorrupt, "{}: sample {} has no \"{}\"", place,
            samples.size(), name);
    if (is_pair) {
      samples.push_back({value[0].get<double>(), value[1].get<double>()});
    } else {
      samples.push_back({value.get<double>(), 1});
    }
  }
  return samples;
}

ReportedTask ReadTaskReport(const Json& report, const std::string& source,
                            const std::string& name) {
  const Json& hashes = report["task_hashes"];
  Require(hashes.contains(name), ErrorCode::kCorrupt, "{}: task_hashes has no \"{}\"", source,
          name);
  const Json& values = report["results"][name];
  const Json& samples = report["samples"];
  Require(values.is_object() && samples.contains(name) && samples[name].is_array(),
          ErrorCode::kCorrupt, "{}: has no results of {}", source, name);
  ReportedTask task = {source + ": " + name, hashes[name], {}};
  for (const Metric metric : AllMetrics()) {
    const std::string key = std::string(MetricName(metric)) + ",none";
    if (!values.contains(key) || values[key].is_null()) continue;
    Require(values[key].is_number(), ErrorCode::kCorrupt, "{}: {} is no number", task.place, key);
    task.metrics[metric] = {values[key].get<double>(),
                            ReadSamples(samples[name], metric, task.place)};
  }
  return task;
}

// Twice the smaller tail of the binomial distribution of n fair draws, at k.
double ExactSignTest(int64_t k, int64_t n) {
  if (n == 0) return 1;
  const int64_t smaller = std::min(k, n - k);
  double tail = 0;
  for (int64_t i = 0; i <= smaller; ++i) {
    const double count = static_cast<double>(n);
    const double log_term = std::lgamma(count + 1) - std::lgamma(static_cast<double>(i) + 1) -
                            std::lgamma(static_cast<double>(n - i) + 1) - count * std::numbers::ln2;
    tail += std::exp(log_term);
  }
  return std::min(1.0, 2 * tail);
}

double AccuracyPValue(const std::vector<MetricSample>& a, const std::vector<MetricSample>& b) {
  int64_t only_a = 0;
  int64_t only_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    only_a += a[i].value > b[i].value ? 1 : 0;
    only_b += a[i].value < b[i].value ? 1 : 0;
  }
  return ExactSignTest(only_b, only_a + only_b);
}

struct Difference {
  double value = 0;  // of the log-likelihoods, over the weights
  std::optional<double> standard_error;
};

// The sum of the differences b - a over the sum of the weights. The standard error is that of such
// a ratio of sums; items are independent of each other.
Difference LogLikelihoodDifference(const std::vector<MetricSample>& a,
                                   const std::vector<MetricSample>& b) {
  double sum = 0;
  double weight = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += b[i].value - a[i].value;
    weight += a[i].weight;
  }
  const double mean = sum / weight;
  if (a.size() < 2) return {mean, std::nullopt};
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double rest = b[i].value - a[i].value - mean * a[i].weight;
    squares += rest * rest;
  }
  const double count = static_cast<double>(a.size());
  return {mean, std::sqrt(squares * count / (count - 1)) / weight};
}

double TwoSidedPValue(const Difference& difference) {
  if (difference.value == 0) return 1;
  if (*difference.standard_error == 0) return 0;
  const double z = std::abs(difference.value) / *difference.standard_error;
  return std::erfc(z / std::numbers::sqrt2);
}

void CheckWeights(const std::vector<MetricSample>& a, const std::vector<MetricSample>& b,
                  const std::string& place) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    Require(a[i].weight == b[i].weight && a[i].weight >= 0, ErrorCode::kCorrupt,
            "{}: sample {} has the weight {} here and {} in the other file", place, i, a[i].weight,
            b[i].weight);
    sum += a[i].weight;
  }
  Require(sum > 0, ErrorCode::kCorrupt, "{}: the samples weigh nothing", place);
}

MetricComparison CompareMetric(Metric metric, const ReportedTask& task_a,
                               const ReportedTask& task_b) {
  const ReportedMetric& a = task_a.metrics.at(metric);
  const ReportedMetric& b = task_b.metrics.at(metric);
  Require(a.samples.size() == b.samples.size() && !a.samples.empty(), ErrorCode::kCorrupt,
          "{} has {} samples, {} has {}; equally many, and at least one, are wanted", task_a.place,
          a.samples.size(), task_b.place, b.samples.size());
  CheckWeights(a.samples, b.samples, task_a.place);
  Difference difference = LogLikelihoodDifference(a.samples, b.samples);
  if (metric == Metric::kBitsPerByte) {
    difference.value /= -std::numbers::ln2;
    if (difference.standard_error) *difference.standard_error /= std::numbers::ln2;
  }
  MetricComparison comparison = {
      metric, a.value, b.value, difference.value, difference.standard_error, std::nullopt};
  if (difference.standard_error) {
    comparison.p_value =
        IsAccuracy(metric) ? AccuracyPValue(a.samples, b.samples) : TwoSidedPValue(difference);
  }
  return comparison;
}

}  // namespace

EvalComparison CompareEvalReports(const Json& a, const std::string& source_a, const Json& b,
                                  const std::string& source_b) {
  CheckReport(a, source_a);
  CheckReport(b, source_b);
  EvalComparison comparison = {source_a, source_b, {}};
  for (const auto& [name, results] : a["results"].items()) {
    if (!b["results"].contains(name)) continue;
    const ReportedTask task_a = ReadTaskReport(a, source_a, name);
    const ReportedTask task_b = ReadTaskReport(b, source_b, name);
    Require(task_a.hash == task_b.hash, ErrorCode::kInvalidArgument,
            "{} and {} have {} of different records; compare runs with the same `data` and `limit`",
            source_a, source_b, name);
    TaskComparison task = {name, {}};
    for (const auto& [metric, reported] : task_a.metrics) {
      if (!task_b.metrics.contains(metric)) continue;
      task.metrics.push_back(CompareMetric(metric, task_a, task_b));
    }
    if (!task.metrics.empty()) comparison.tasks.push_back(std::move(task));
  }
  Require(!comparison.tasks.empty(), ErrorCode::kInvalidArgument,
          "{} and {} have no task in common", source_a, source_b);
  return comparison;
}

OrderedJson EvalComparisonJson(const EvalComparison& comparison) {
  OrderedJson tasks = OrderedJson::object();
  for (const TaskComparison& task : comparison.tasks) {
    for (const MetricComparison& metric : task.metrics) {
      tasks[task.task][MetricName(metric.metric)] = {
          {"a", metric.a},
          {"b", metric.b},
          {"difference", metric.difference},
          {"standard_error", OrNull(metric.standard_error)},
          {"p_value", OrNull(metric.p_value)}};
    }
  }
  return {{"a", comparison.a}, {"b", comparison.b}, {"tasks", tasks}};
}

std::string EvalComparisonTable(const EvalComparison& comparison) {
  std::vector<std::vector<std::string>> rows;
  for (const TaskComparison& task : comparison.tasks) {
    for (const MetricComparison& metric : task.metrics) {
      const bool is_first = &metric == &task.metrics.front();
      rows.push_back({is_first ? task.task : "", MetricName(metric.metric),
                      fmt::format("{:.4f}", metric.a), fmt::format("{:.4f}", metric.b),
                      fmt::format("{:+.4f}", metric.difference), "±",
                      metric.standard_error ? fmt::format("{:.4f}", *metric.standard_error) : "N/A",
                      metric.p_value ? fmt::format("{:.2g}", *metric.p_value) : "N/A"});
    }
  }
  return fmt::format("A: {}\nB: {}\n\n{}\n", comparison.a, comparison.b,
                     MarkdownTable({{"Tasks"},
                                    {"Metric"},
                                    {"A", true},
                                    {"B", true},
                                    {"B - A", true},
                                    {""},
                                    {"Stderr", true},
                                    {"p", true}},
                                   rows)) +
         "B - A of a perplexity is the difference of the mean log-likelihoods, in nats, and of "
         "bits_per_byte in bits.\np is two-sided: McNemar's exact test for accuracies, otherwise a "
         "paired z-test.\n";
}

}  // namespace blockformer
