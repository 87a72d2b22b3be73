#include "sweep/sweep_plots.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/child_process.h"
#include "base/file.h"
#include "base/gnuplot.h"
#include "base/log.h"

namespace blockformer {
namespace {

constexpr char kLossByTokens[] = "loss_by_tokens";
constexpr char kLossByPosition[] = "loss_by_position";
constexpr char kLossBySpeed[] = "loss_by_throughput";

constexpr size_t kFrontierColour = 7;  // grey

// Pixels of an SVG.
constexpr int kCurvesWidth = 490;  // of a panel without its legend
constexpr int kPanelHeight = 400;
constexpr int kSpeedWidth = 800;
constexpr int kSpeedHeight = 560;
constexpr int kLegendLine = 21;
constexpr int kLegendSample = 80;
constexpr int kCharacterWidth = 10;
constexpr char kLegend[] = "  set key at graph 1.04,1 left top Left reverse samplen 2\n";

// Curves beyond the number of colours have another dash as well.
std::string CurveStyle(size_t index) {
  return fmt::format("lw 2 ps 0.7 dt {} {}", 1 + index / kNumPlotColours,
                     PlotPointStyle(index, index));
}

int LongestOf(const std::vector<std::string>& labels) {
  size_t longest = 0;
  for (const std::string& label : labels) longest = std::max(longest, label.size());
  return static_cast<int>(longest);
}

// The width of a legend whose longest label has this many characters.
int LegendWidth(int longest) { return kLegendSample + kCharacterWidth * longest; }

// The height of a panel whose legend has this many labels, one a line.
int LegendHeight(size_t labels) {
  constexpr int kTitleAndAxis = 140;
  return kTitleAndAxis + kLegendLine * static_cast<int>(labels);
}

// Room for the legend at the right. gnuplot's unit is a wide character, of which the letters of a
// name take four fifths.
std::string Margins(int longest) {
  constexpr int kNumbers = 9;
  constexpr int kSample = 8;
  return fmt::format("  set lmargin {}\n  set rmargin {}\n", kNumbers, longest * 4 / 5 + kSample);
}

// Draws `body` twice, as NAME.svg and as NAME.png.
std::string Script(const std::string& name, const std::string& data, const std::string& body,
                   int width, int height) {
  return fmt::format(
      "# gnuplot {0}.gp makes {0}.svg and {0}.png\n{1}\n"
      "do for [format in 'svg png'] {{\n"
      "  if (format eq 'svg') {{\n"
      "    {2}"
      "  }} else {{\n"
      "    set terminal pngcairo noenhanced size {3},{4} fontscale 1.5 linewidth 1.5 pointscale "
      "1.5 font 'sans,13' background '#ffffff'\n"
      "  }}\n"
      "  set output '{0}.'.format\n"
      "  {5}{6}"
      "  unset output\n"
      "}}\n",
      name, data, SvgTerminal(width, height), width * 3 / 2, height * 3 / 2, kPlotGrid, body);
}

// Draws a panel for each group, with a curve for each of its runs and the legend beside them.
class CurvePlot {
 public:
  // `settings` are those of gnuplot that all panels share.
  CurvePlot(std::string name, std::string settings)
      : name_(std::move(name)), settings_(std::move(settings)) {}

  // `curves` has the points of every run of the sweep.
  std::string Draw(const Sweep& sweep, const std::vector<std::vector<PlotPoint>>& curves) {
    std::string data;
    for (size_t run = 0; run < curves.size(); ++run) {
      if (!curves[run].empty()) data += PlotData(fmt::format("run{}", run), curves[run]);
    }
    for (const SweepGroup& group : sweep.groups) AddPanel(group, curves);
    if (panels_.empty()) return "";
    const int columns = std::min<int>(static_cast<int>(panels_.size()), kMaxColumns);
    const int rows = (static_cast<int>(panels_.size()) + columns - 1) / columns;
    return Script(name_, data,
                  fmt::format("{}  set multiplot layout {},{}\n{}  unset multiplot\n",
                              Margins(longest_), rows, columns, fmt::join(panels_, "")),
                  columns * (kCurvesWidth + LegendWidth(longest_)), rows * height_);
  }

 private:
  static constexpr int kMaxColumns = 3;

  void AddPanel(const SweepGroup& group, const std::vector<std::vector<PlotPoint>>& curves) {
    std::vector<std::string> plots;
    for (size_t i = 0; i < group.runs.size(); ++i) {
      if (curves[group.runs[i]].empty()) continue;
      plots.push_back(fmt::format("$run{} using 1:2 with linespoints {} title {}", group.runs[i],
                                  CurveStyle(i), PlotQuoted(group.labels[i])));
    }
    if (plots.empty()) return;
    longest_ = std::max(longest_, LongestOf(group.labels));
    height_ = std::max(height_, LegendHeight(plots.size()));
    panels_.push_back(fmt::format("{}{}  set title {}\n  plot {}\n", settings_, kLegend,
                                  PlotQuoted(group.title), fmt::join(plots, ", \\\n    ")));
  }

  std::string name_;
  std::string settings_;
  std::vector<std::string> panels_;
  int longest_ = 0;  // label
  int height_ = kPanelHeight;
};

// The smallest of 1, 2 and 5 times a power of ten that divides 0 to `last` into at most five parts.
double TicStep(double last) {
  constexpr double kParts = 5;
  const double decade = std::pow(10, std::floor(std::log10(last / kParts)));
  for (const double step : {decade, 2 * decade, 5 * decade}) {
    if (last / step <= kParts) return step;
  }
  return 10 * decade;
}

std::string DrawLossByTokens(const Sweep& sweep, const SweepReport& report) {
  std::vector<std::vector<PlotPoint>> curves;
  double last = 0;
  for (size_t i = 0; i < sweep.runs.size(); ++i) {
    const TrainRecipe& recipe = sweep.runs[i].recipe;
    const double tokens =
        static_cast<double>(recipe.training.batch_size * recipe.model.max_length) * 1e-6;
    std::vector<PlotPoint>& curve = curves.emplace_back();
    for (const LossPoint& point : report.records[i].curve) {
      curve.push_back({static_cast<double>(point.step) * tokens, point.loss});
      last = std::max(last, curve.back().x);
    }
  }
  return CurvePlot(kLossByTokens, fmt::format("  set xlabel 'training tokens (millions)'\n"
                                              "  set ylabel 'validation loss (nats a token)'\n"
                                              "  set xrange [0:*]\n  set xtics {:g}\n",
                                              last > 0 ? TicStep(last) : 1))
      .Draw(sweep, curves);
}

std::string DrawLossByPosition(const Sweep& sweep, const SweepReport& report) {
  constexpr size_t kMaxTics = 16;
  std::vector<std::vector<PlotPoint>> curves;
  size_t longest = 0;
  for (const ReportRow& row : report.rows) {
    std::vector<PlotPoint>& curve = curves.emplace_back();
    for (size_t i = 0; i < row.loss_by_position.size(); ++i) {
      const double loss = row.loss_by_position[i];
      if (!std::isnan(loss)) curve.push_back({static_cast<double>(i + 1), loss});
    }
    longest = std::max(longest, row.loss_by_position.size());
  }
  return CurvePlot(kLossByPosition,
                   fmt::format("  set xlabel 'position in the block (token)'\n"
                               "  set ylabel 'validation loss (nats a token)'\n"
                               "  set xrange [0.5:*]\n  set autoscale xfixmax\n  set xtics {}\n"
                               "  set offsets 0, 0.5, graph 0.05, graph 0.05\n",
                               longest <= kMaxTics ? "1" : "auto"))
      .Draw(sweep, curves);
}

// The speeds 1, 2 and 5 times a power of ten from `low` to `high`, for a logarithmic axis.
std::vector<double> SpeedTics(double low, double high) {
  std::vector<double> tics;
  for (double decade = std::pow(10, std::floor(std::log10(low))); decade <= high; decade *= 10) {
    for (const double tic : {decade, 2 * decade, 5 * decade}) {
      if (tic >= low && tic <= high) tics.push_back(tic);
    }
  }
  return tics;
}

// A logarithmic axis where the speeds differ enough for its tics.
std::string SpeedAxis(const std::vector<PlotPoint>& points, int64_t batch) {
  constexpr double kMinRatio = 3;
  constexpr double kMargin = 1.15;
  const auto [slowest, fastest] =
      std::minmax_element(points.begin(), points.end(),
                          [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
  const double low = slowest->x / kMargin, high = fastest->x * kMargin;
  const bool is_log = high > kMinRatio * low;
  return fmt::format(
      "  set xlabel 'measured throughput (generated tokens/s, batch {}{})'\n"
      "  set xrange [{:g}:{:g}]\n{}",
      batch, is_log ? ", log scale" : "", low, high,
      is_log ? fmt::format("  set logscale x\n  set xtics ({:g})\n",
                           fmt::join(SpeedTics(low, high), ", "))
             : "");
}

// Each run is a point with an entry of the legend, in the first group that has it: names beside the
// points would cover each other. A line joins the frontier.
std::string DrawLossBySpeed(const Sweep& sweep, const SweepReport& report) {
  std::vector<std::string> plots, names;
  std::vector<PlotPoint> points, frontier;
  std::vector<bool> drawn(report.rows.size(), false);
  std::string data;
  for (size_t g = 0; g < sweep.groups.size(); ++g) {
    for (size_t i = 0; i < sweep.groups[g].runs.size(); ++i) {
      const size_t run = sweep.groups[g].runs[i];
      const ReportRow& row = report.rows[run];
      if (!row.loss || !row.tokens_per_second || drawn[run]) continue;
      drawn[run] = true;
      points.push_back({*row.tokens_per_second, *row.loss});
      names.push_back(row.name);
      if (row.on_frontier) frontier.push_back(points.back());
      data += PlotData(fmt::format("run{}", run), {points.back()});
      const size_t colour = sweep.groups.size() > 1 ? g : i;
      plots.push_back(fmt::format("$run{} using 1:2 with points ps 1.3 lw 2 {} title {}", run,
                                  PlotPointStyle(i, colour), PlotQuoted(row.name)));
    }
  }
  if (plots.empty()) return "";
  std::sort(frontier.begin(), frontier.end(),
            [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
  if (!frontier.empty()) {
    data += PlotData("frontier", frontier);
    plots.push_back(fmt::format("$frontier using 1:2 with lines dt 2 lw 2 lc rgb '{}' title {}",
                                PlotColour(kFrontierColour), "'frontier'"));
  }
  const std::string body = fmt::format(
      "{}{}  set ylabel 'validation loss (nats a token)'\n"
      "  set offsets 0, 0, graph 0.05, graph 0.05\n{}  plot {}\n",
      Margins(LongestOf(names)), SpeedAxis(points, sweep.throughput.batch), kLegend,
      fmt::join(plots, ", \\\n    "));
  return Script(kLossBySpeed, data, body, kSpeedWidth + LegendWidth(LongestOf(names)),
                std::max(kSpeedHeight, LegendHeight(plots.size())));
}

}  // namespace

const std::vector<SweepPlot>& SweepPlots() {
  static const std::vector<SweepPlot> plots = {
      {kLossByTokens, "Validation loss against training tokens"},
      {kLossByPosition, "Validation loss by position in the block"},
      {kLossBySpeed, "Validation loss against measured throughput"}};
  return plots;
}

std::string PlotScript(const SweepPlot& plot, const Sweep& sweep, const SweepReport& report) {
  const std::string_view name = plot.name;
  if (name == kLossByTokens) return DrawLossByTokens(sweep, report);
  if (name == kLossByPosition) return DrawLossByPosition(sweep, report);
  return DrawLossBySpeed(sweep, report);
}

bool WritePlots(const Sweep& sweep, const SweepReport& report) {
  bool is_there = true;
  bool all = true;
  for (const SweepPlot& plot : SweepPlots()) {
    const std::string script = PlotScript(plot, sweep, report);
    if (script.empty()) continue;
    const std::string path = fmt::format("{}/{}", sweep.output, plot.name);
    WriteFileAtomically(path + ".gp", script);
    if (!is_there) continue;
    std::string message;
    const int exit_code = RunGnuplot(script, {path + ".svg", path + ".png"}, &message);
    is_there = exit_code != ChildProcess::kNotStarted;
    if (is_there && exit_code != 0) {
      LogWarning("no plot {}: gnuplot failed: {}", plot.name, message);
    }
    all = all && exit_code == 0;
  }
  if (!is_there) {
    LogWarning(
        "no plots: gnuplot is not here (Debian's package is gnuplot-nox); then `gnuplot *.gp` in "
        "{} draws them",
        sweep.output);
  }
  return all;
}

}  // namespace blockformer
