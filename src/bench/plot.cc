#include "bench/plot.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <vector>

#include "base/gnuplot.h"

namespace blockformer {
namespace {

constexpr int kWidth = 1100;
constexpr int kHeight = 520;

// A model's measured points and its limit.
struct Curve {
  std::string label;
  std::vector<PlotPoint> measured;
  std::vector<PlotPoint> limit;
  std::string remark;  // behind the label
};

std::string Label(const ThroughputResult& result) {
  return fmt::format("{}, {} cache", result.model, NumberTypeName(result.types.kv));
}

// In the order of their first points, so that both panels give a model the same colour.
Curve* CurveOf(const std::string& label, std::vector<Curve>* curves) {
  for (Curve& curve : *curves) {
    if (curve.label == label) return &curve;
  }
  return &curves->emplace_back(Curve{label, {}, {}, ""});
}

std::vector<Curve> CurvesByBatch(const ThroughputReport& report) {
  std::vector<Curve> curves;
  for (const ThroughputResult& result : report.results) {
    Curve* curve = CurveOf(Label(result), &curves);
    const double batch = static_cast<double>(result.setting.batch);
    curve->measured.push_back({batch, result.total_tokens_per_s});
    curve->limit.push_back({batch, result.total_limit_tokens_per_s});
  }
  return curves;
}

// Has the same curves as CurvesByBatch(), in the same order.
std::vector<Curve> CurvesByContext(const ThroughputReport& report) {
  std::vector<Curve> curves;
  for (const ThroughputResult& result : report.results) {
    Curve* curve = CurveOf(Label(result), &curves);
    if (!result.is_best) continue;
    curve->remark = fmt::format(", batch {}", result.setting.batch);
    for (const ContextSpeed& speed : result.by_context) {
      curve->measured.push_back({speed.context, speed.decode_tokens_per_s});
      curve->limit.push_back({speed.context, speed.limit_tokens_per_s});
    }
  }
  return curves;
}

// Appends the curves' data to `data` and returns the panel's commands, or nothing without points.
std::string Panel(const std::string& name, const std::string& settings,
                  const std::vector<Curve>& curves, std::string* data) {
  std::vector<std::string> plots;
  for (size_t i = 0; i < curves.size(); ++i) {
    const Curve& curve = curves[i];
    if (curve.measured.empty()) continue;
    const std::string measured = fmt::format("{}{}", name, i);
    const std::string limit = fmt::format("{}_limit{}", name, i);
    *data += PlotData(measured, curve.measured) + PlotData(limit, curve.limit);
    plots.push_back(fmt::format("${} using 1:2 with linespoints lw 2 ps 0.7 {} title {}", measured,
                                PlotPointStyle(i, i), PlotQuoted(curve.label + curve.remark)));
    plots.push_back(fmt::format("${} using 1:2 with lines lw 2 dt 2 lc rgb '{}' title 'its limit'",
                                limit, PlotColour(i)));
  }
  if (plots.empty()) return "";
  return fmt::format("{}plot {}\n", settings, fmt::join(plots, ", \\\n  "));
}

}  // namespace

std::string BenchPlotScript(const ThroughputReport& report, const std::string& output) {
  std::string data;
  const std::string by_batch =
      Panel("batch",
            "set title 'prompts in the time'\nset xlabel 'batch size'\n"
            "set ylabel 'generated tokens/s'\nset logscale x 2\nset logscale y\n",
            CurvesByBatch(report), &data);
  const std::string by_context =
      Panel("context",
            "set title 'decoding alone'\nset xlabel 'context (tokens)'\nunset logscale x\n"
            "set xrange [0:*]\n",
            CurvesByContext(report), &data);
  return fmt::format(
      "{}\n{}set output {}\n{}set key below maxcols 1\nset multiplot layout 1,2\n{}{}"
      "unset multiplot\n",
      data, PlotTerminal("plot", output, kWidth, kHeight), PlotQuoted(output), kPlotGrid, by_batch,
      by_context);
}

void WriteBenchPlot(const ThroughputReport& report, const std::string& path) {
  DrawPlot(path, BenchPlotScript(report, std::filesystem::path(path).filename().string()));
}

}  // namespace blockformer
