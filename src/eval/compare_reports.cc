#include "eval/compare_reports.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <optional>
#include <vector>

#include "base/error.h"
#include "eval/markdown_table.h"
#include "eval/metrics.h"

namespace blockformer {
namespace {

// One model's results of one task.
struct TaskResults {
  const Json& values;
  const Json& samples;
  std::string place;  // for messages
};

class Report {
 public:
  Report(const Json& json, std::string source) : json_(json), source_(std::move(source)) {
    for (const char* key : {"results", "samples", "task_hashes"}) {
      Require(json.is_object() && json.contains(key) && json[key].is_object(), ErrorCode::kCorrupt,
              "{}: has no \"{}\"; a file that `blockformer eval tasks --json` wrote is wanted",
              source_, key);
    }
  }

  const Json& tasks() const { return json_["results"]; }
  const std::string& source() const { return source_; }

  const Json& HashOf(const std::string& task) const {
    Require(json_["task_hashes"].contains(task), ErrorCode::kCorrupt,
            "{}: task_hashes has no \"{}\"", source_, task);
    return json_["task_hashes"][task];
  }

  TaskResults Task(const std::string& task) const {
    const Json& values = json_["results"][task];
    const bool has_samples = json_["samples"].contains(task) && json_["samples"][task].is_array();
    Require(values.is_object() && has_samples, ErrorCode::kCorrupt, "{}: has no results of {}",
            source_, task);
    return {values, json_["samples"][task], source_ + ": " + task};
  }

 private:
  const Json& json_;
  std::string source_;
};

std::optional<double> ValueOf(const TaskResults& results, Metric metric) {
  const std::string key = std::string(MetricName(metric)) + ",none";
  if (!results.values.contains(key) || results.values[key].is_null()) return std::nullopt;
  Require(results.values[key].is_number(), ErrorCode::kCorrupt, "{}: {} is no number",
          results.place, key);
  return results.values[key].get<double>();
}

std::vector<MetricSample> SamplesOf(const TaskResults& results, Metric metric) {
  std::vector<MetricSample> samples;
  for (const Json& sample : results.samples) {
    const char* name = MetricName(metric);
    const Json value = sample.is_object() && sample.contains(name) ? sample[name] : Json();
    const bool is_pair =
        value.is_array() && value.size() == 2 && value[0].is_number() && value[1].is_number();
    Require(value.is_number() || is_pair, ErrorCode::kCorrupt, "{}: sample {} has no \"{}\"",
            results.place, samples.size(), name);
    if (is_pair) {
      samples.push_back({value[0].get<double>(), value[1].get<double>()});
    } else {
      samples.push_back({value.get<double>(), 1});
    }
  }
  return samples;
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

// Of the ratio of sums; items are independent of each other.
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

OrderedJson CompareMetric(Metric metric, const TaskResults& a, const TaskResults& b) {
  const std::vector<MetricSample> samples_a = SamplesOf(a, metric);
  const std::vector<MetricSample> samples_b = SamplesOf(b, metric);
  Require(samples_a.size() == samples_b.size() && !samples_a.empty(), ErrorCode::kCorrupt,
          "{} has {} samples, {} has {}; equally many, and at least one, are wanted", a.place,
          samples_a.size(), b.place, samples_b.size());
  CheckWeights(samples_a, samples_b, a.place);
  Difference difference = LogLikelihoodDifference(samples_a, samples_b);
  if (metric == Metric::kBitsPerByte) {
    difference.value /= -std::numbers::ln2;
    if (difference.standard_error) *difference.standard_error /= std::numbers::ln2;
  }
  OrderedJson row = {{"a", *ValueOf(a, metric)},
                     {"b", *ValueOf(b, metric)},
                     {"difference", difference.value},
                     {"standard_error", nullptr},
                     {"p_value", nullptr}};
  if (difference.standard_error) {
    row["standard_error"] = *difference.standard_error;
    row["p_value"] =
        IsAccuracy(metric) ? AccuracyPValue(samples_a, samples_b) : TwoSidedPValue(difference);
  }
  return row;
}

}  // namespace

OrderedJson CompareReports(const Json& json_a, const std::string& source_a, const Json& json_b,
                           const std::string& source_b) {
  const Report a(json_a, source_a);
  const Report b(json_b, source_b);
  OrderedJson tasks = OrderedJson::object();
  for (const auto& [task, results] : a.tasks().items()) {
    if (!b.tasks().contains(task)) continue;
    Require(a.HashOf(task) == b.HashOf(task), ErrorCode::kInvalidArgument,
            "{} and {} have {} of different records; compare runs with the same `data` and `limit`",
            source_a, source_b, task);
    const TaskResults results_a = a.Task(task);
    const TaskResults results_b = b.Task(task);
    for (const Metric metric : AllMetrics()) {
      if (!ValueOf(results_a, metric) || !ValueOf(results_b, metric)) continue;
      tasks[task][MetricName(metric)] = CompareMetric(metric, results_a, results_b);
    }
  }
  Require(!tasks.empty(), ErrorCode::kInvalidArgument, "{} and {} have no task in common", source_a,
          source_b);
  return {{"a", source_a}, {"b", source_b}, {"tasks", tasks}};
}

std::string ReportComparisonTable(const OrderedJson& comparison) {
  std::vector<std::vector<std::string>> rows;
  const auto number = [](const OrderedJson& value, const char* format) {
    return value.is_null() ? std::string("N/A")
                           : fmt::format(fmt::runtime(format), value.get<double>());
  };
  for (const auto& [task, metrics] : comparison["tasks"].items()) {
    bool is_first = true;
    for (const auto& [metric, row] : metrics.items()) {
      rows.push_back({is_first ? task : "", metric, number(row["a"], "{:.4f}"),
                      number(row["b"], "{:.4f}"), number(row["difference"], "{:+.4f}"), "±",
                      number(row["standard_error"], "{:.4f}"), number(row["p_value"], "{:.2g}")});
      is_first = false;
    }
  }
  return fmt::format("A: {}\nB: {}\n\n{}\n", comparison["a"].get<std::string>(),
                     comparison["b"].get<std::string>(),
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
