#include "eval/position_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/gnuplot.h"
#include "base/integer.h"

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

OrderedJson StandardError(const std::vector<double>& deviations) {
  if (deviations.size() < 2) return nullptr;
  const double count = static_cast<double>(deviations.size());
  double squares = 0;
  for (const double deviation : deviations) squares += deviation * deviation;
  return std::sqrt(count / (count - 1) * squares);
}

void AddDifference(const Estimate& estimate, const Estimate& first, OrderedJson* entry) {
  if (estimate.total.tokens == 0 || estimate.total.tokens != first.total.tokens) return;
  std::vector<double> deviations = estimate.deviations;
  for (size_t i = 0; i < deviations.size(); ++i) deviations[i] -= first.deviations[i];
  (*entry)["difference"] = estimate.Mean() - first.Mean();
  (*entry)["difference_standard_error"] = StandardError(deviations);
}

// Adds what `select` finds of a loss to an entry, and how it differs from `first`, if that is one.
template <typename Select>
void AddLoss(const PositionLoss& loss, const PositionLoss* first, const Select& select,
             OrderedJson* entry) {
  const Estimate estimate = EstimateMean(loss, select);
  const bool is_any = estimate.total.tokens > 0;
  (*entry)["loss"] = is_any ? OrderedJson(estimate.Mean()) : OrderedJson(nullptr);
  (*entry)["standard_error"] = StandardError(estimate.deviations);
  (*entry)["tokens"] = estimate.total.tokens;
  if (first != nullptr) AddDifference(estimate, EstimateMean(*first, select), entry);
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

OrderedJson BinEntries(const PositionLoss& loss, const PositionLoss* first) {
  OrderedJson entries = OrderedJson::array();
  const int64_t bins = std::ssize(loss.windows[0].bins);
  for (int64_t bin = 0; bin < bins; ++bin) {
    OrderedJson entry = {{"first", FirstPosition(bin, bins, loss.context)},
                         {"last", FirstPosition(bin + 1, bins, loss.context) - 1}};
    AddLoss(
        loss, first, [bin](const WindowLoss& window) { return window.bins[bin]; }, &entry);
    entries.push_back(std::move(entry));
  }
  return entries;
}

OrderedJson BlockEntries(const PositionLoss& loss) {
  OrderedJson entries = OrderedJson::array();
  for (size_t slot = 0; slot < loss.windows[0].block_positions.size(); ++slot) {
    OrderedJson entry = {{"position", slot}};
    AddLoss(
        loss, nullptr, [slot](const WindowLoss& window) { return window.block_positions[slot]; },
        &entry);
    entries.push_back(std::move(entry));
  }
  return entries;
}

int64_t NumClusters(const OrderedJson& result) {
  return result[result["clusters"].get<std::string>()].get<int64_t>();
}

std::string NameOf(const OrderedJson& result) { return result["model"].get<std::string>(); }

// What of a model's entries to show.
struct Column {
  std::string heading;
  const OrderedJson* result;
  const char* value;
  const char* error;
};

Column LossColumn(const OrderedJson& result) {
  return {NameOf(result), &result, "loss", "standard_error"};
}

// Nothing unless the model is compared with the first one.
std::optional<Column> DifferenceColumn(const OrderedJson& result, const OrderedJson& first) {
  if (!result["same_windows"].get<bool>()) return std::nullopt;
  return Column{NameOf(result) + " - " + NameOf(first), &result, "difference",
                "difference_standard_error"};
}

// Half of the 95 % interval, if there is one.
std::optional<double> HalfWidth(const OrderedJson& standard_error, int64_t clusters) {
  if (standard_error.is_null()) return std::nullopt;
  return IntervalFactor(clusters) * standard_error.get<double>();
}

std::string Cell(const Column& column, const OrderedJson& entry) {
  if (entry.value(column.value, OrderedJson()).is_null()) return "-";
  const std::string value = fmt::format("{:.4f}", entry[column.value].get<double>());
  const auto half_width = HalfWidth(entry[column.error], NumClusters(*column.result));
  return half_width ? fmt::format("{} ± {:.4f}", value, *half_width) : value;
}

// The first row is the heading; all are as long.
std::string AlignRight(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      // Of characters, all of which but "±" are single bytes.
      widths[i] = std::max(widths[i], row[i].size() - (row[i].find("±") != std::string::npos));
    }
  }
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += fmt::format("{}{:>{}}", i == 0 ? "" : "  ", row[i], widths[i]);
    }
    text += "\n";
  }
  return text;
}

std::vector<std::string> Headings(const std::string& first, const std::vector<Column>& columns) {
  std::vector<std::string> row = {first};
  for (const Column& column : columns) row.push_back(column.heading);
  return row;
}

std::string TextTable(const OrderedJson& results) {
  std::vector<Column> columns;
  for (const OrderedJson& result : results) columns.push_back(LossColumn(result));
  for (const OrderedJson& result : results) {
    if (const auto column = DifferenceColumn(result, results[0])) columns.push_back(*column);
  }
  std::vector<std::vector<std::string>> rows = {Headings("position", columns)};
  const OrderedJson& bins = results[0]["bins"];
  for (size_t bin = 0; bin < bins.size(); ++bin) {
    std::vector<std::string>& row = rows.emplace_back(
        1,
        fmt::format("{}-{}", bins[bin]["first"].get<int64_t>(), bins[bin]["last"].get<int64_t>()));
    for (const Column& column : columns) row.push_back(Cell(column, (*column.result)["bins"][bin]));
  }
  std::vector<std::string>& row = rows.emplace_back(1, "all");
  for (const Column& column : columns) row.push_back(Cell(column, *column.result));
  return AlignRight(rows) + "\n";
}

// Nothing without a block model. Blocks may differ in length.
std::string BlockTable(const OrderedJson& results) {
  std::vector<Column> columns;
  size_t longest = 0;
  for (const OrderedJson& result : results) {
    if (!result["block_positions"].empty()) columns.push_back(LossColumn(result));
    longest = std::max(longest, result["block_positions"].size());
  }
  if (columns.empty()) return "";
  std::vector<std::vector<std::string>> rows = {Headings("position in the block", columns)};
  for (size_t slot = 0; slot < longest; ++slot) {
    std::vector<std::string>& row = rows.emplace_back(1, fmt::format("{}", slot));
    for (const Column& column : columns) {
      const OrderedJson& slots = (*column.result)["block_positions"];
      row.push_back(slot < slots.size() ? Cell(column, slots[slot]) : "");
    }
  }
  return AlignRight(rows) + "\n";
}

std::string Footnotes(const OrderedJson& results) {
  std::string text = "Loss in nats a token ± half of the 95 % interval.\n";
  for (const OrderedJson& result : results) {
    const bool has_interval = !result["standard_error"].is_null();
    text += fmt::format("{}: windows of {} tokens: {}, documents: {}; {}.\n", NameOf(result),
                        result["context"].get<int64_t>(), result["windows"].get<int64_t>(),
                        result["documents"].get<int64_t>(),
                        has_interval ? "intervals over " + result["clusters"].get<std::string>()
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
std::string DataLine(double x, const Column& column, const OrderedJson& entry) {
  if (entry.value(column.value, OrderedJson()).is_null()) return "";
  const double y = entry[column.value].get<double>();
  const double half_width = HalfWidth(entry[column.error], NumClusters(*column.result)).value_or(0);
  return fmt::format("{} {} {} {}\n", x, y, y - half_width, y + half_width);
}

// Of columns by position in the text; a missing one leaves its colour out. `settings` are
// gnuplot's.
Panel CurvePanel(const std::string& name, const std::string& settings,
                 const std::vector<std::optional<Column>>& columns) {
  Panel panel = {kTextPanelWidth, "", ""};
  std::vector<std::string> bands;
  std::vector<std::string> curves;
  int64_t context = 0;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (!columns[i]) continue;
    const OrderedJson& result = *columns[i]->result;
    context = result["context"].get<int64_t>();
    const std::string block = fmt::format("${}{}", name, i);
    panel.data += block + " << END\n";
    for (const OrderedJson& bin : result["bins"]) {
      const double middle = (bin["first"].get<double>() + bin["last"].get<double>()) / 2;
      panel.data += DataLine(middle, *columns[i], bin);
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

Panel LossPanel(const OrderedJson& results) {
  std::vector<std::optional<Column>> columns;
  for (const OrderedJson& result : results) columns.emplace_back(LossColumn(result));
  return CurvePanel("loss", kLossLabel, columns);
}

Panel DifferencePanel(const OrderedJson& results) {
  std::vector<std::optional<Column>> columns;
  for (const OrderedJson& result : results) columns.push_back(DifferenceColumn(result, results[0]));
  return CurvePanel("difference",
                    "set ylabel 'difference, text by text (95 % interval)'\n"
                    "set xzeroaxis lt 1 lw 1 lc rgb '#000000'\n",
                    columns);
}

// Of block models. The colours are those of the first panel, whose legend they share.
Panel BlockPanel(const OrderedJson& results) {
  constexpr double kShift = 0.08;  // models beside each other, so that their bars can be told apart
  Panel panel = {kBlockPanelWidth, "", ""};
  std::vector<std::string> plots;
  size_t longest = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    const OrderedJson& slots = results[i]["block_positions"];
    if (slots.empty()) continue;
    longest = std::max(longest, slots.size());
    const std::string block = fmt::format("$block{}", i);
    panel.data += block + " << END\n";
    for (const OrderedJson& slot : slots) {
      const double x = slot["position"].get<double>() + kShift * static_cast<double>(plots.size());
      panel.data += DataLine(x, LossColumn(results[i]), slot);
    }
    panel.data += "END\n";
    plots.push_back(fmt::format("{} using 1:2:3:4 with yerrorbars lw 2 ps 0.8 {} title {}", block,
                                PlotPointStyle(i, i), PlotQuoted(NameOf(results[i]))));
  }
  panel.commands = fmt::format(
      "set xlabel 'position in the block'\n{}unset xzeroaxis\n"
      "set xrange [-0.5:{}.5]\nset xtics 1\nplot {}\n",
      kLossLabel, longest - 1, fmt::join(plots, ", \\\n  "));
  return panel;
}

// gnuplot fails where there is nothing to draw.
bool HasDifference(const OrderedJson& result) {
  return std::ranges::any_of(result["bins"],
                             [](const OrderedJson& bin) { return bin.contains("difference"); });
}

bool IsBlock(const OrderedJson& result) { return !result["block_positions"].empty(); }

}  // namespace

double IntervalFactor(int64_t clusters) {
  // Of Student's t at 0.975; from 5 degrees of freedom on its expansion about the normal quantile
  // (Abramowitz and Stegun 26.7.5), to three places.
  constexpr double kFirst[] = {12.7062, 4.3027, 3.1824, 2.7764};
  const int64_t freedom = clusters - 1;
  if (freedom <= std::ssize(kFirst)) return kFirst[freedom - 1];
  const double inverse = 1 / static_cast<double>(freedom);
  return 1.95996 +
         inverse * (2.37227 + inverse * (2.82250 + inverse * (2.55585 + inverse * 1.58953)));
}

OrderedJson PositionLossResults(const std::vector<PositionLoss>& losses) {
  OrderedJson results = OrderedJson::array();
  for (const PositionLoss& loss : losses) {
    const bool is_compared = &loss != &losses[0] && loss.tokens_hash == losses[0].tokens_hash;
    const PositionLoss* first = is_compared ? &losses[0] : nullptr;
    const int64_t documents = NumDocuments(loss);
    OrderedJson result = {{"model", loss.model},
                          {"context", loss.context},
                          {"documents", documents},
                          {"windows", loss.windows.size()},
                          {"clusters", documents > 1 ? "documents" : "windows"},
                          {"same_windows", is_compared}};
    AddLoss(loss, first, WholeWindow, &result);
    result["bins"] = BinEntries(loss, first);
    result["block_positions"] = BlockEntries(loss);
    results.push_back(std::move(result));
  }
  return results;
}

std::string PositionLossTable(const OrderedJson& report) {
  const OrderedJson& results = report["results"];
  return TextTable(results) + BlockTable(results) + Footnotes(results);
}

std::string PositionLossPlotScript(const OrderedJson& report, const std::string& output) {
  const OrderedJson& results = report["results"];
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
