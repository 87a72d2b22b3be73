#ifndef BLOCKFORMER_SERVER_METRICS_H_
#define BLOCKFORMER_SERVER_METRICS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace blockformer {

// How often values fell into buckets. Not thread-safe.
class Histogram {
 public:
  // Upper bounds, ascending.
  explicit Histogram(std::vector<double> bounds)
      : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

  void Add(double value, int64_t times = 1);

  const std::vector<double>& bounds() const { return bounds_; }
  // How many values fell into each bucket alone (not cumulative); the last bucket lies beyond all
  // bounds.
  const std::vector<int64_t>& counts() const { return counts_; }
  double sum() const { return sum_; }

 private:
  std::vector<double> bounds_;
  std::vector<int64_t> counts_;
  double sum_ = 0;
};

// Writes Prometheus' text format, version 0.0.4.
class MetricsWriter {
 public:
  // `labels`, such as model_name="m", are put on every value.
  explicit MetricsWriter(std::string labels) : labels_(std::move(labels)) {}

  void Counter(const std::string& name, const std::string& help, double value);
  // A value for each label set, such as finished_reason="stop".
  void Counters(const std::string& name, const std::string& help,
                const std::map<std::string, int64_t>& values);
  void Gauge(const std::string& name, const std::string& help, double value);
  void Write(const std::string& name, const std::string& help, const Histogram& histogram);

  const std::string& text() const { return text_; }

 private:
  void Head(const std::string& name, const std::string& help, const char* type);
  void Value(const std::string& name, const std::string& more_labels, double value);

  std::string labels_;
  std::string text_;
};

// A label's value, escaped.
std::string EscapeLabel(const std::string& value);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_METRICS_H_
