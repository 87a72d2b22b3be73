#include "sweep/sweep_plots.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/log.h"
#include "sweep/child_process.h"

namespace blockformer {
namespace {

constexpr char kLossByTokens[] = "loss_by_tokens";
constexpr char kLossByPosition[] = "loss_by_position";
constexpr char kLossBySpeed[] = "loss_by_throughput";

// Okabe and Ito's colours, which differ for colour-blind readers too; grey in place of yellow,
// which is too faint on white.
constexpr const char* kColours[] = {"#0072B2", "#D55E00", "#009E73", "#E69F00",
                                    "#CC79A7", "#56B4E9", "#000000", "#7F7F7F"};
constexpr const char* kFrontierColour = "#7F7F7F";
constexpr size_t kNumColours = std::size(kColours);
constexpr int kPanelWidth = 560;
constexpr int kPanelHeight = 420;

// Curves beyond the number of colours have another dash as well.
std::string Style(size_t index) {
  return fmt::format("lw 2 pt {} ps 0.7 dt {} lc rgb '{}'", 4 + index % kNumColours,
                     1 + index / kNumColours, kColours[index % kNumColours]);
}

// Names are letters, digits, "._-:" and such; a quote would end the string.
std::string Quoted(std::string text) {
  std::replace(text.begin(), text.end(), '\'', '-');
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c == '\\'; }, '-');
  return "'" + text + "'";
}

// Draws `body` twice, as NAME.svg and as NAME.png.
std::string Script(const std::string& name, const std::string& data, const std::string& body,
                   int width, int height) {
  return fmt::format(
      "# gnuplot {0}.gp makes {0}.svg and {0}.png\n{1}\n"
      "do for [format in 'svg png'] {{\n"
      "  if (format eq 'svg') {{\n"
      "    set terminal svg noenhanced size {2},{3} font 'sans,13' background '#ffffff'\n"
      "  }} else {{\n"
      "    set terminal pngcairo noenhanced size {4},{5} fontscale 1.5 linewidth 1.5 pointscale "
      "1.5 "
      "font 'sans,13' background '#ffffff'\n"
      "  }}\n"
      "  set output '{0}.'.format\n"
      "  set grid lc rgb '#dddddd'\n"
      "{6}"
      "  unset output\n"
      "}}\n",
      name, data, width, height, width * 3 / 2, height * 3 / 2, body);
}

// One panel a group, side by side.
std::string Panels(const std::string& name, const std::string& data,
                   const std::vector<std::string>& panels) {
  const int columns = std::min<int>(static_cast<int>(panels.size()), 3);
  const int rows = (static_cast<int>(panels.size()) + columns - 1) / columns;
  std::string body = fmt::format("  set multiplot layout {},{}\n", rows, columns);
  for (const std::string& panel : panels) body += panel;
  body += "  unset multiplot\n";
  return Script(name, data, body, columns * kPanelWidth, rows * kPanelHeight);
}

struct Point {
  double x;
  double y;
};

// Draws a curve for each run of each group.
class CurvePlot {
 public:
  CurvePlot(std::string name, std::string settings)
      : name_(std::move(name)), settings_(std::move(settings)) {}

  // `curves` has the points of every run of the sweep.
  std::string Draw(const Sweep& sweep, const std::vector<std::vector<Point>>& curves) {
    for (size_t run = 0; run < curves.size(); ++run) {
      if (curves[run].empty()) continue;
      data_ += fmt::format("$run{} << END\n", run);
      for (const Point& point : curves[run]) data_ += fmt::format("{} {}\n", point.x, point.y);
      data_ += "END\n";
    }
    for (const SweepGroup& group : sweep.groups) AddPanel(group, curves);
    return panels_.empty() ? "" : Panels(name_, data_, panels_);
  }

 private:
  void AddPanel(const SweepGroup& group, const std::vector<std::vector<Point>>& curves) {
    std::vector<std::string> plots;
    for (size_t i = 0; i < group.runs.size(); ++i) {
      if (curves[group.runs[i]].empty()) continue;
      plots.push_back(fmt::format("$run{} using 1:2 with linespoints {} title {}", group.runs[i],
                                  Style(i), Quoted(group.labels[i])));
    }
    if (plots.empty()) return;
    panels_.push_back(fmt::format("{}  set title {}\n  plot {}\n", settings_, Quoted(group.title),
                                  fmt::join(plots, ", \\\n    ")));
  }

  std::string name_;
  std::string settings_;
  std::string data_;
  std::vector<std::string> panels_;
};

std::string DrawLossByTokens(const Sweep& sweep, const SweepReport& report) {
  std::vector<std::vector<Point>> curves;
  for (size_t i = 0; i < sweep.runs.size(); ++i) {
    const TrainRecipe& recipe = sweep.runs[i].recipe;
    const double tokens =
        static_cast<double>(recipe.training.batch_size * recipe.model.max_length) * 1e-6;
    std::vector<Point>& curve = curves.emplace_back();
    for (const LossPoint& point : report.records[i].curve) {
      curve.push_back({static_cast<double>(point.step) * tokens, point.loss});
    }
  }
  return CurvePlot(kLossByTokens,
                   "  set xlabel 'training tokens (millions)'\n"
                   "  set ylabel 'validation loss (nats a token)'\n"
                   "  set key top right\n")
      .Draw(sweep, curves);
}

std::string DrawLossByPosition(const Sweep& sweep, const SweepReport& report) {
  std::vector<std::vector<Point>> curves;
  for (const ReportRow& row : report.rows) {
    std::vector<Point>& curve = curves.emplace_back();
    for (size_t i = 0; i < row.loss_by_position.size(); ++i) {
      const double loss = row.loss_by_position[i];
      if (!std::isnan(loss)) curve.push_back({static_cast<double>(i + 1), loss});
    }
  }
  return CurvePlot(kLossByPosition,
                   "  set xlabel 'position in the block (token)'\n"
                   "  set ylabel 'validation loss (nats a token)'\n"
                   "  set xtics 1\n  set offsets graph 0.05, graph 0.05, graph 0.05, graph 0.05\n"
                   "  set key top right\n")
      .Draw(sweep, curves);
}

// Each run is a point of the colour of the first group that has it; a step line joins the frontier.
std::string DrawLossBySpeed(const Sweep& sweep, const SweepReport& report) {
  std::string data;
  std::vector<std::string> plots;
  std::vector<Point> frontier;
  std::vector<bool> drawn(report.rows.size(), false);
  for (size_t g = 0; g < sweep.groups.size(); ++g) {
    std::string points;
    for (const size_t run : sweep.groups[g].runs) {
      const ReportRow& row = report.rows[run];
      if (!row.loss || !row.tokens_per_second || drawn[run]) continue;
      drawn[run] = true;
      points += fmt::format("{} {} {}\n", *row.tokens_per_second, *row.loss, row.name);
      if (row.on_frontier) frontier.push_back({*row.tokens_per_second, *row.loss});
    }
    if (points.empty()) continue;
    data += fmt::format("$group{} << END\n{}END\n", g, points);
    plots.push_back(fmt::format(
        "$group{0} using 1:2 with points pt {1} ps 1.3 lc rgb '{2}' title {3}, \\\n"
        "    $group{0} using 1:2:3 with labels font ',9' offset 0,0.8 notitle",
        g, 4 + g % kNumColours, kColours[g % kNumColours], Quoted(sweep.groups[g].title)));
  }
  if (plots.empty()) return "";
  std::sort(frontier.begin(), frontier.end(),
            [](const Point& a, const Point& b) { return a.x < b.x; });
  data += "$frontier << END\n";
  for (const Point& point : frontier) data += fmt::format("{} {}\n", point.x, point.y);
  data += "END\n";
  plots.insert(plots.begin(),
               fmt::format("$frontier using 1:2 with lines dt 2 lw 2 lc rgb '{}' title 'frontier'",
                           kFrontierColour));
  const std::string body = fmt::format(
      "  set logscale x\n  set xlabel 'measured throughput (generated tokens/s, batch {}, log "
      "scale)'\n"
      "  set ylabel 'validation loss (nats a token)'\n"
      "  set offsets graph 0.08, graph 0.08, graph 0.08, graph 0.05\n  set key top left\n"
      "  plot {}\n",
      sweep.throughput.batch, fmt::join(plots, ", \\\n    "));
  return Script(kLossBySpeed, data, body, 2 * kPanelWidth, kPanelHeight * 3 / 2);
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
  bool all = true;
  for (const SweepPlot& plot : SweepPlots()) {
    const std::string script = PlotScript(plot, sweep, report);
    if (script.empty()) continue;
    const std::string file = fmt::format("{}.gp", plot.name);
    WriteFileAtomically(sweep.output + "/" + file, script);
    const std::string log = sweep.output + "/logs/gnuplot.log";
    const int exit_code = RunProcess({"gnuplot", file}, log, sweep.output);
    if (exit_code == ChildProcess::kNotStarted) {
      LogWarning(
          "no plots: gnuplot is not here (Debian's package is gnuplot-nox); then `gnuplot "
          "*.gp` in {} draws them",
          sweep.output);
      return false;
    }
    if (exit_code != 0) LogWarning("no plot {}: gnuplot failed, see {}", plot.name, log);
    all = all && exit_code == 0;
  }
  return all;
}

}  // namespace blockformer
