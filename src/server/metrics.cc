#include "server/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace blockformer {

void Histogram::Add(double value, int64_t times) {
  const auto bucket = std::ranges::lower_bound(bounds_, value) - bounds_.begin();
  counts_[bucket] += times;
  sum_ += value * static_cast<double>(times);
}

std::string EscapeLabel(const std::string& value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return escaped;
}

void MetricsWriter::Head(const std::string& name, const std::string& help, const char* type) {
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void MetricsWriter::Value(const std::string& name, const std::string& more_labels, double value) {
  const char* comma = labels_.empty() || more_labels.empty() ? "" : ",";
  text_ += fmt::format("{}{{{}{}{}}} {}\n", name, labels_, comma, more_labels, value);
}

void MetricsWriter::Counter(const std::string& name, const std::string& help, double value) {
  Head(name, help, "counter");
  Value(name, "", value);
}

void MetricsWriter::Counters(const std::string& name, const std::string& help,
                             const std::map<std::string, int64_t>& values) {
  Head(name, help, "counter");
  for (const auto& [labels, value] : values) Value(name, labels, static_cast<double>(value));
}

void MetricsWriter::Gauge(const std::string& name, const std::string& help, double value) {
  Head(name, help, "gauge");
  Value(name, "", value);
}

void MetricsWriter::Write(const std::string& name, const std::string& help,
                          const Histogram& histogram) {
  Head(name, help, "histogram");
  int64_t total = 0;
  for (size_t i = 0; i < histogram.counts().size(); ++i) {
    total += histogram.counts()[i];
    const std::string bound =
        i < histogram.bounds().size() ? fmt::format("{}", histogram.bounds()[i]) : "+Inf";
    Value(name + "_bucket", fmt::format("le=\"{}\"", bound), static_cast<double>(total));
  }
  Value(name + "_sum", "", histogram.sum());
  Value(name + "_count", "", static_cast<double>(total));
}

}  // namespace blockformer
