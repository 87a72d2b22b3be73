#include "eval/position_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/gnuplot.h"
#include "base/integer.h"
#include "base/table.h"

namespace blockformer {
namespace {

// Pixels.
constexpr int kTextPanelWidth = 640;
constexpr int kBlockPanelWidth = 400;
constexpr int kPlotHeight = 460;  // without legend
constexpr int kLegendLine = 20;

constexpr char kLossLabel[] = "set ylabel 'loss in nats a token (95 % interval)'\n";

int64_t NumDocuments(const PositionLoss& loss) { return loss.windows.back().document + 1; }

// A mean over tokens, and by how much each cluster moves it: clusters' deviations add up to 0.
struct Estimate {
  LossSum total;
  std::vector<double> deviations;

  double Mean() const { return total.sum / static_cast<double>(total.tokens); }
};

// `select(window)` is the part of a window's total that is meant.
template <typename Select>
Estimate EstimateMean(const PositionLoss& loss, const Select& select) {
  const int64_t documents = NumDocuments(loss);
  std::vector<LossSum> clusters(documents > 1 ? static_cast<size_t>(documents)
                                              : loss.windows.size());
  Estimate estimate;
  for (size_t i = 0; i < loss.windows.size(); ++i) {
    const WindowLoss& window = loss.windows[i];
    const LossSum total = select(window);
    clusters[documents > 1 ? static_cast<size_t>(window.document) : i].Add(total);
    estimate.total.Add(total);
  }
  if (estimate.total.tokens == 0) return estimate;
  for (const LossSum& cluster : clusters) {
    estimate.deviations.push_back(
        (cluster.sum - estimate.Mean() * static_cast<double>(cluster.tokens)) /
        static_cast<double>(estimate.total.tokens));
  }
  return estimate;
}

std::optional<double> StandardError(const std::vector<double>& deviations) {
  if (deviations.size() < 2) return std::nullopt;
  const double count = static_cast<double>(deviations.size());
  double squares = 0;
  for (const double deviation : deviations) squares += deviation * deviation;
  return std::sqrt(count / (count - 1) * squares);
}

std::optional<LossEstimate> DifferenceFrom(const Estimate& first, const Estimate& estimate) {
  if (estimate.total.tokens == 0 || estimate.total.tokens != first.total.tokens) {
    return std::nullopt;
  }
  std::vector<double> deviations = estimate.deviations;
  for (size_t i = 0; i < deviations.size(); ++i) deviations[i] -= first.deviations[i];
  return LossEstimate{estimate.Mean() - first.Mean(), StandardError(deviations)};
}

// What `select` finds of a loss, and how it differs from `first`, if that is one.
template <typename Select>
MeanLoss MeanOf(const PositionLoss& loss, const PositionLoss* first, const Select& select) {
  const Estimate estimate = EstimateMean(loss, select);
  MeanLoss mean;
  mean.tokens = estimate.total.tokens;
  if (mean.tokens > 0) {
    mean.loss = LossEstimate{estimate.Mean(), StandardError(estimate.deviations)};
  }
  if (first != nullptr) mean.difference = DifferenceFrom(EstimateMean(*first, select), estimate);
  return mean;
}

LossSum WholeWindow(const WindowLoss& window) {
  LossSum total;
  for (const LossSum& bin : window.bins) total.Add(bin);
  return total;
}

// The first position of a bin: the smallest p with p * bins / context = bin.
int64_t FirstPosition(int64_t bin, int64_t bins, int64_t context) {
  return DivideUp(bin * context, bins);
}

std::vector<BinLoss> BinLosses(const PositionLoss& loss, const PositionLoss* first) {
  std::vector<BinLoss> losses;
  const int64_t bins = std::ssize(loss.windows[0].bins);
  for (int64_t bin = 0; bin < bins; ++bin) {
    losses.push_back(
        {FirstPosition(bin, bins, loss.context), FirstPosition(bin + 1, bins, loss.context) - 1,
         MeanOf(loss, first, [bin](const WindowLoss& window) { return window.bins[bin]; })});
  }
  return losses;
}

std::vector<MeanLoss> BlockLosses(const PositionLoss& loss) {
  std::vector<MeanLoss> losses;
  for (size_t slot = 0; slot < loss.windows[0].block_positions.size(); ++slot) {
    losses.push_back(MeanOf(
        loss, nullptr, [slot](const WindowLoss& window) { return window.block_positions[slot]; }));
  }
  return losses;
}

void AddMean(const MeanLoss& mean, OrderedJson* json) {
  (*json)["loss"] = mean.loss ? OrderedJson(mean.loss->value) : OrderedJson();
  (*json)["standard_error"] = mean.loss ? OrNull(mean.loss->standard_error) : OrderedJson();
  (*json)["tokens"] = mean.tokens;
  if (!mean.difference) return;
  (*json)["difference"] = mean.difference->value;
  (*json)["difference_standard_error"] = OrNull(mean.difference->standard_error);
}

OrderedJson BinsJson(const std::vector<BinLoss>& bins) {
  OrderedJson json = OrderedJson::array();
  for (const BinLoss& bin : bins) {
    OrderedJson& entry = json.emplace_back(OrderedJson{{"first", bin.first}, {"last", bin.last}});
    AddMean(bin.mean, &entry);
  }
  return json;
}

OrderedJson BlockPositionsJson(const std::vector<MeanLoss>& slots) {
  OrderedJson json = OrderedJson::array();
  for (size_t slot = 0; slot < slots.size(); ++slot) {
    OrderedJson& entry = json.emplace_back(OrderedJson{{"position", slot}});
    AddMean(slots[slot], &entry);
  }
  return json;
}

using Results = std::vector<PositionLossResult>;

// What of a model's means to show.
struct Column {
  std::string heading;
  const PositionLossResult* result;
  std::optional<LossEstimate> MeanLoss::*value;
};

Column LossColumn(const PositionLossResult& result) {
  return {result.model, &result, &MeanLoss::loss};
}

// Nothing unless the model is compared with the first one.
std::optional<Column> DifferenceColumn(const PositionLossResult& result,
                                       const PositionLossResult& first) {
  if (!result.same_windows) return std::nullopt;
  return Column{result.model + " - " + first.model, &result, &MeanLoss::difference};
}

// Half of the 95 % interval, if there is one.
std::optional<double> HalfWidth(const LossEstimate& estimate, const PositionLossResult& result) {
  if (!estimate.standard_error) return std::nullopt;
  return IntervalFactor(result.NumClusters()) * *estimate.standard_error;
}

std::string Cell(const Column& column, const MeanLoss& mean) {
  const std::optional<LossEstimate>& estimate = mean.*column.value;
  if (!estimate) return "-";
  const std::string value = fmt::format("{:.4f}", estimate->value);
  const auto half_width = HalfWidth(*estimate, *column.result);
  return half_width ? fmt::format("{} ± {:.4f}", value, *half_width) : value;
}

std::vector<TableColumn> Headings(const std::string& first, const std::vector<Column>& columns) {
  std::vector<TableColumn> headings = {{first, /*is_number=*/true}};
  for (const Column& column : columns) headings.push_back({column.heading, /*is_number=*/true});
  return headings;
}

std::string TextTable(const Results& results) {
  std::vector<Column> columns;
  for (const PositionLossResult& result : results) columns.push_back(LossColumn(result));
  for (const PositionLossResult& result : results) {
    if (const auto column = DifferenceColumn(result, results[0])) columns.push_back(*column);
  }
  TableRows rows;
  const std::vector<BinLoss>& bins = results[0].bins;
  for (size_t bin = 0; bin < bins.size(); ++bin) {
    std::vector<std::string>& row =
        rows.emplace_back(1, fmt::format("{}-{}", bins[bin].first, bins[bin].last));
    for (const Column& column : columns) {
      row.push_back(Cell(column, column.result->bins[bin].mean));
    }
  }
  std::vector<std::string>& row = rows.emplace_back(1, "all");
  for (const Column& column : columns) row.push_back(Cell(column, column.result->all));
  return AlignedTable(Headings("position", columns), rows) + "\n";
}

// Nothing without a block model. Blocks may differ in length.
std::string BlockTable(const Results& results) {
  std::vector<Column> columns;
  size_t longest = 0;
  for (const PositionLossResult& result : results) {
    if (!result.block_positions.empty()) columns.push_back(LossColumn(result));
    longest = std::max(longest, result.block_positions.size());
  }
  if (columns.empty()) return "";
  TableRows rows;
  for (size_t slot = 0; slot < longest; ++slot) {
    std::vector<std::string>& row = rows.emplace_back(1, fmt::format("{}", slot));
    for (const Column& column : columns) {
      const std::vector<MeanLoss>& slots = column.result->block_positions;
      row.push_back(slot < slots.size() ? Cell(column, slots[slot]) : "");
    }
  }
  return AlignedTable(Headings("position in the block", columns), rows) + "\n";
}

std::string Footnotes(const Results& results) {
  std::string text = "Loss in nats a token ± half of the 95 % interval.\n";
  for (const PositionLossResult& result : results) {
    const bool has_interval = result.all.loss && result.all.loss->standard_error;
    text += fmt::format("{}: windows of {} tokens: {}, documents: {}; {}.\n", result.model,
                        result.context, result.windows, result.documents,
                        has_interval ? fmt::format("intervals over {}", result.ClusterName())
                                     : "too few for an interval");
  }
  return text;
}

// A part of the picture: gnuplot's commands, and the data blocks that they read.
struct Panel {
  int width = 0;
  std::string data;
  std::string commands;
};

// The line "x y low high" of a data block; none if there is no value.
std::string DataLine(double x, const Column& column, const MeanLoss& mean) {
  const std::optional<LossEstimate>& estimate = mean.*column.value;
  if (!estimate) return "";
  const double y = estimate->value;
  const double half_width = HalfWidth(*estimate, *column.result).value_or(0);
  return fmt::format("{} {} {} {}\n", x, y, y - half_width, y + half_width);
}

// The panel with a curve for each column, by position in the text; a missing column leaves its
// colour out. `settings` are gnuplot's.
Panel CurvePanel(const std::string& name, const std::string& settings,
                 const std::vector<std::optional<Column>>& columns) {
  Panel panel = {kTextPanelWidth, "", ""};
  std::vector<std::string> bands;
  std::vector<std::string> curves;
  int64_t context = 0;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (!columns[i]) continue;
    const PositionLossResult& result = *columns[i]->result;
    context = result.context;
    const std::string block = fmt::format("${}{}", name, i);
    panel.data += block + " << END\n";
    for (const BinLoss& bin : result.bins) {
      const double middle = static_cast<double>(bin.first + bin.last) / 2;
      panel.data += DataLine(middle, *columns[i], bin.mean);
    }
    panel.data += "END\n";
    bands.push_back(
        fmt::format("{} using 1:3:4 with filledcurves fs transparent solid 0.2 "
                    "noborder lc rgb '{}' notitle",
                    block, PlotColour(i)));
    curves.push_back(fmt::format("{} using 1:2 with lines lw 2 lc rgb '{}' title {}", block,
                                 PlotColour(i), PlotQuoted(columns[i]->heading)));
  }
  panel.commands = fmt::format(
      "set xlabel 'position in the text (tokens)'\nset xrange [0:{}]\n{}"
      "plot {}, \\\n  {}\n",
      context, settings, fmt::join(bands, ", \\\n  "), fmt::join(curves, ", \\\n  "));
  return panel;
}

Panel LossPanel(const Results& results) {
  std::vector<std::optional<Column>> columns;
  for (const PositionLossResult& result : results) columns.emplace_back(LossColumn(result));
  return CurvePanel("loss", kLossLabel, columns);
}

Panel DifferencePanel(const Results& results) {
  std::vector<std::optional<Column>> columns;
  for (const PositionLossResult& result : results) {
    columns.push_back(DifferenceColumn(result, results[0]));
  }
  return CurvePanel("difference",
                    "set ylabel 'difference, text by text (95 % interval)'\n"
                    "set xzeroaxis lt 1 lw 1 lc rgb '#000000'\n",
                    columns);
}

// The panel of block models' losses by position in the block. Its colours are those of the first
// panel, whose legend it shares.
Panel BlockPanel(const Results& results) {
  constexpr double kShift = 0.08;  // models beside each other, so that their bars can be told apart
  Panel panel = {kBlockPanelWidth, "", ""};
  std::vector<std::string> plots;
  size_t longest = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    const std::vector<MeanLoss>& slots = results[i].block_positions;
    if (slots.empty()) continue;
    longest = std::max(longest, slots.size());
    const std::string block = fmt::format("$block{}", i);
    panel.data += block + " << END\n";
    for (size_t slot = 0; slot < slots.size(); ++slot) {
      const double x = static_cast<double>(slot) + kShift * static_cast<double>(plots.size());
      panel.data += DataLine(x, LossColumn(results[i]), slots[slot]);
    }
    panel.data += "END\n";
    plots.push_back(fmt::format("{} using 1:2:3:4 with yerrorbars lw 2 ps 0.8 {} title {}", block,
                                PlotPointStyle(i, i), PlotQuoted(results[i].model)));
  }
  panel.commands = fmt::format(
      "set xlabel 'position in the block'\n{}unset xzeroaxis\n"
      "set xrange [-0.5:{}.5]\nset xtics 1\nplot {}\n",
      kLossLabel, longest - 1, fmt::join(plots, ", \\\n  "));
  return panel;
}

// gnuplot fails where there is nothing to draw.
bool HasDifference(const PositionLossResult& result) {
  return std::ranges::any_of(result.bins,
                             [](const BinLoss& bin) { return bin.mean.difference.has_value(); });
}

bool IsBlock(const PositionLossResult& result) { return !result.block_positions.empty(); }

}  // namespace

double IntervalFactor(int64_t clusters) {
  // The quantile of Student's t at 0.975; from 5 degrees of freedom on, its expansion about the
  // normal quantile (Abramowitz and Stegun 26.7.5), to three places.
  constexpr double kFirst[] = {12.7062, 4.3027, 3.1824, 2.7764};
  const int64_t freedom = clusters - 1;
  if (freedom <= std::ssize(kFirst)) return kFirst[freedom - 1];
  const double inverse = 1 / static_cast<double>(freedom);
  return 1.95996 +
         inverse * (2.37227 + inverse * (2.82250 + inverse * (2.55585 + inverse * 1.58953)));
}

std::vector<PositionLossResult> PositionLossResults(const std::vector<PositionLoss>& losses) {
  std::vector<PositionLossResult> results;
  for (const PositionLoss& loss : losses) {
    PositionLossResult& result = results.emplace_back();
    result.model = loss.model;
    result.context = loss.context;
    result.documents = NumDocuments(loss);
    result.windows = std::ssize(loss.windows);
    result.same_windows = &loss != &losses[0] && loss.tokens_hash == losses[0].tokens_hash;
    const PositionLoss* first = result.same_windows ? &losses[0] : nullptr;
    result.all = MeanOf(loss, first, WholeWindow);
    result.bins = BinLosses(loss, first);
    result.block_positions = BlockLosses(loss);
  }
  return results;
}

OrderedJson PositionLossJson(const std::vector<PositionLossResult>& results) {
  OrderedJson json = OrderedJson::array();
  for (const PositionLossResult& result : results) {
    OrderedJson& entry = json.emplace_back(OrderedJson{{"model", result.model},
                                                       {"context", result.context},
                                                       {"documents", result.documents},
                                                       {"windows", result.windows},
                                                       {"clusters", result.ClusterName()},
                                                       {"same_windows", result.same_windows}});
    AddMean(result.all, &entry);
    entry["bins"] = BinsJson(result.bins);
    entry["block_positions"] = BlockPositionsJson(result.block_positions);
  }
  return json;
}

std::string PositionLossTable(const std::vector<PositionLossResult>& results) {
  return TextTable(results) + BlockTable(results) + Footnotes(results);
}

std::string PositionLossPlotScript(const std::vector<PositionLossResult>& results,
                                   const std::string& output) {
  std::vector<Panel> panels = {LossPanel(results)};
  if (std::ranges::any_of(results, HasDifference)) panels.push_back(DifferencePanel(results));
  if (std::ranges::any_of(results, IsBlock)) panels.push_back(BlockPanel(results));
  int width = 0;
  std::string data;
  for (const Panel& panel : panels) {
    width += panel.width;
    data += panel.data;
  }
  const int models = static_cast<int>(results.size());
  std::string script = fmt::format(
      "{}\n{}set output {}\n{}set key below maxcols 1\nset lmargin 11\nset rmargin 3\n"
      "set bmargin {}\nset multiplot\n",
      data, PlotTerminal("--plot", output, width, kPlotHeight + kLegendLine * models),
      PlotQuoted(output), kPlotGrid, 4 + models);
  int left = 0;
  for (const Panel& panel : panels) {
    script += fmt::format("set origin {},0\nset size {},1\n{}", static_cast<double>(left) / width,
                          static_cast<double>(panel.width) / width, panel.commands);
    left += panel.width;
  }
  return script + "unset multiplot\n";
}

}  // namespace blockformer
