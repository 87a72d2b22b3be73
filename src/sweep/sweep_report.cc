#include "sweep/sweep_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/file.h"
#include "base/log.h"
#include "base/statistics.h"
#include "base/table.h"
#include "config/parameters.h"
#include "sweep/sweep_plots.h"

namespace blockformer {
namespace {

std::string Changes(const Sweep& sweep, size_t run) {
  std::vector<std::string> changes;
  for (const SweepGroup& group : sweep.groups) {
    const auto found = std::find(group.runs.begin(), group.runs.end(), run);
    if (found == group.runs.end()) continue;
    const std::string& label = group.labels[found - group.runs.begin()];
    changes.push_back(group.is_axis ? group.title + " " + label : label);
  }
  return fmt::format("{}", fmt::join(changes, ", "));
}

RunStatus StatusOf(const RunRecord& record) {
  if (record.finished) return RunStatus::kFinished;
  if (!record.changed_field.empty()) return RunStatus::kOfAnotherRecipe;
  if (!record.failure.empty()) return RunStatus::kFailed;
  return record.steps_done > 0 ? RunStatus::kNotFinished : RunStatus::kNotStarted;
}

ReportRow MakeRow(const Sweep& sweep, size_t index, const RunRecord& record) {
  const SweepRun& run = sweep.runs[index];
  const ParameterCounts counts = CountParameters(run.recipe.model);
  ReportRow row;
  row.name = run.name;
  row.changes = Changes(sweep, index);
  row.status = StatusOf(record);
  row.parameters = counts.used;
  row.non_embedding = counts.non_embedding;
  row.flops = TrainingFlops(run.recipe, record.steps_done);
  row.tokens = record.steps_done * run.recipe.training.batch_size * run.recipe.model.max_length;
  if (!record.curve.empty()) row.loss = record.curve.back().loss;
  row.bits_per_byte = record.bits_per_byte;
  row.loss_by_position = record.loss_by_position;
  std::vector<double> speeds;
  for (const auto& speed : record.speeds) {
    if (speed) speeds.push_back(speed->tokens_per_second);
  }
  if (!speeds.empty()) {
    row.tokens_per_second = Median(speeds);
    row.speed_spread = Spread(speeds);
  }
  return row;
}

// The loss after `step` steps, which may lie between two validations.
std::optional<double> LossAt(const std::vector<LossPoint>& curve, double step) {
  const auto next = std::find_if(curve.begin(), curve.end(), [&](const LossPoint& point) {
    return static_cast<double>(point.step) >= step;
  });
  if (next == curve.end()) {
    return curve.empty() ? std::nullopt : std::optional<double>(curve.back().loss);
  }
  if (static_cast<double>(next->step) == step) return next->loss;
  if (next == curve.begin()) return std::nullopt;
  const LossPoint& last = *std::prev(next);
  const double share =
      (step - static_cast<double>(last.step)) / static_cast<double>(next->step - last.step);
  return last.loss + share * (next->loss - last.loss);
}

// The report warns of a model whose measured speeds differ by more than this share.
constexpr double kLargeSpread = 0.2;

// Budgets that differ by less are called equal: steps are whole.
constexpr double kEqualShare = 0.01;

void CompareAtEqualFlops(const Sweep& sweep, SweepReport* report) {
  double fewest = std::numeric_limits<double>::infinity();
  for (const ReportRow& row : report->rows) {
    if (row.status == RunStatus::kFinished) fewest = std::min(fewest, row.flops);
  }
  if (!std::isfinite(fewest)) return;
  report->equal_flops = fewest;
  for (size_t i = 0; i < report->rows.size(); ++i) {
    ReportRow& row = report->rows[i];
    if (row.flops < fewest) continue;
    if (row.flops <= fewest * (1 + kEqualShare)) {
      row.loss_at_equal_flops = row.loss;
    } else {
      const double step = fewest / TrainingFlops(sweep.runs[i].recipe, 1);
      row.loss_at_equal_flops = LossAt(report->records[i].curve, step);
    }
  }
}

bool IsComparable(const ReportRow& row) {
  return row.status == RunStatus::kFinished && row.loss && row.tokens_per_second;
}

bool Beats(const ReportRow& row, const ReportRow& other) {
  if (!IsComparable(row)) return false;
  const bool has_lower_loss = *row.loss < *other.loss;
  return has_lower_loss && *row.tokens_per_second > *other.tokens_per_second;
}

void MarkFrontier(std::vector<ReportRow>* rows) {
  for (ReportRow& row : *rows) {
    row.on_frontier = IsComparable(row) &&
                      std::none_of(rows->begin(), rows->end(),
                                   [&](const ReportRow& other) { return Beats(other, row); });
  }
}

std::string Optional(const std::optional<double>& value, int digits, const char* absent) {
  return value ? fmt::format("{:.{}f}", *value, digits) : absent;
}

std::string Positions(const std::vector<double>& losses) {
  std::vector<std::string> texts;
  for (const double loss : losses) texts.push_back(fmt::format("{:.2f}", loss));
  return fmt::format("{}", fmt::join(texts, " "));
}

std::string Millions(int64_t count) {
  return fmt::format("{:.2f}M", static_cast<double>(count) * 1e-6);
}

bool IsFailed(const ReportRow& row) { return row.status == RunStatus::kFailed; }

OrderedJson RowAsJson(const ReportRow& row, const RunRecord& record, const SweepRun& run) {
  OrderedJson curve = OrderedJson::array();
  for (const LossPoint& point : record.curve) {
    curve.push_back(
        {{"step", point.step},
         {"tokens", point.step * run.recipe.training.batch_size * run.recipe.model.max_length},
         {"validation_loss", point.loss}});
  }
  OrderedJson positions = OrderedJson::array();
  for (const double loss : row.loss_by_position) {
    positions.push_back(std::isnan(loss) ? OrderedJson() : OrderedJson(loss));
  }
  OrderedJson speeds = OrderedJson::array();
  for (const auto& speed : record.speeds) {
    speeds.push_back(speed ? OrderedJson(speed->tokens_per_second) : OrderedJson());
  }
  return {{"run", row.name},
          {"changes", row.changes},
          {"status", RunStatusName(row.status)},
          {"failure", IsFailed(row) ? OrderedJson(record.failure) : OrderedJson()},
          {"parameters", row.parameters},
          {"non_embedding", row.non_embedding},
          {"training_flops", row.flops},
          {"tokens", row.tokens},
          {"validation_loss", OrNull(row.loss)},
          {"bits_per_byte", OrNull(row.bits_per_byte)},
          {"loss_at_equal_flops", OrNull(row.loss_at_equal_flops)},
          {"loss_by_position", positions},
          {"tokens_per_s", OrNull(row.tokens_per_second)},
          {"tokens_per_s_by_round", speeds},
          {"on_frontier", row.on_frontier},
          {"curve", curve}};
}

std::string SpreadText(const ReportRow& row) {
  return row.tokens_per_second ? fmt::format("{:.0f} %", row.speed_spread * 100) : "-";
}

std::string Explanation(const Sweep& sweep, const SweepReport& report) {
  std::string text = "Losses are of the validation file, in nats a token.";
  if (report.equal_flops > 0) {
    text += fmt::format(" \"At equal FLOPs\" is the loss when {:.3g} FLOPs of training were spent.",
                        report.equal_flops);
  }
  if (!report.machines.empty()) {
    text += fmt::format(
        " tokens/s are generated at batch {} after prompts of {} tokens, {} tokens each, the "
        "prompts included in the time: the median of {} rounds, in each of which every model was "
        "measured once, and by how much the fastest round exceeds the slowest. Measured on {}. A "
        "run "
        "on the frontier (*) is beaten by no other in both loss and speed.",
        sweep.throughput.batch, sweep.throughput.prompt, sweep.throughput.generate,
        sweep.throughput.Rounds(), fmt::join(report.machines, "; "));
  }
  return text + "\n\n";
}

// Says how runs failed; empty if none did.
std::string FailureNotes(const SweepReport& report) {
  std::string text;
  for (size_t i = 0; i < report.rows.size(); ++i) {
    if (!IsFailed(report.rows[i])) continue;
    text += fmt::format("- {}: {}\n", report.rows[i].name, report.records[i].failure);
  }
  return text.empty() ? "" : "\nFailed:\n\n" + text;
}

// Says which speeds a busy machine has spoilt; empty if none.
std::string SpreadNote(const SweepReport& report) {
  std::vector<std::string> names;
  for (const ReportRow& row : report.rows) {
    if (row.speed_spread > kLargeSpread) names.push_back(row.name);
  }
  if (names.empty()) return "";
  return fmt::format(
      "\nThe speed of {} differs between rounds by more than {:.0f} %: the machine was doing "
      "something else, so such a speed is a rough one. Remove `runs/*/throughput-*.json` and run "
      "the sweep again to measure anew.\n",
      fmt::join(names, ", "), kLargeSpread * 100);
}

std::string PlotLinks(const Sweep& sweep, const SweepReport& report) {
  std::string text;
  for (const SweepPlot& plot : SweepPlots()) {
    if (PlotScript(plot, sweep, report).empty()) continue;
    text += fmt::format("\n![{}]({}.svg)\n", plot.title, plot.name);
  }
  return text;
}

}  // namespace

const char* RunStatusName(RunStatus status) {
  switch (status) {
    case RunStatus::kNotStarted:
      return "not started";
    case RunStatus::kNotFinished:
      return "not finished";
    case RunStatus::kFailed:
      return "failed";
    case RunStatus::kOfAnotherRecipe:
      return "of another recipe";
    case RunStatus::kFinished:
      return "finished";
  }
  return "";
}

SweepReport MakeReport(const Sweep& sweep) {
  SweepReport report;
  for (size_t i = 0; i < sweep.runs.size(); ++i) {
    report.records.push_back(ReadRunRecord(sweep, sweep.runs[i]));
    report.rows.push_back(MakeRow(sweep, i, report.records.back()));
    for (const auto& speed : report.records.back().speeds) {
      if (speed) report.machines.insert(speed->machine);
    }
  }
  CompareAtEqualFlops(sweep, &report);
  MarkFrontier(&report.rows);
  return report;
}

std::string ReportAsMarkdown(const Sweep& sweep, const SweepReport& report) {
  std::string text = fmt::format("# {}\n\n{}", sweep.output, Explanation(sweep, report));
  text +=
      "| run | what | parameters | non-emb. | training FLOPs | tokens | loss | bits/byte | loss at "
      "equal FLOPs | loss by position in the block | tokens/s | spread | frontier |\n"
      "|---|---|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|:-:|\n";
  for (const ReportRow& row : report.rows) {
    const bool is_finished = row.status == RunStatus::kFinished;
    const std::string status = is_finished ? "" : fmt::format(" ({})", RunStatusName(row.status));
    text += fmt::format(
        "| {}{} | {} | {} | {} | {:.3g} | {} | {} | {} | {} | {} | {} | {} | {} |\n", row.name,
        status, row.changes, Millions(row.parameters), Millions(row.non_embedding), row.flops,
        Millions(row.tokens), Optional(row.loss, 3, "-"), Optional(row.bits_per_byte, 3, "-"),
        Optional(row.loss_at_equal_flops, 3, "-"), Positions(row.loss_by_position),
        Optional(row.tokens_per_second, 0, "-"), SpreadText(row), row.on_frontier ? "*" : "");
  }
  return text + FailureNotes(report) + SpreadNote(report);
}

std::string ReportAsCsv(const SweepReport& report) {
  std::string text =
      "run,changes,status,parameters,non_embedding,training_flops,tokens,validation_loss,"
      "bits_per_byte,loss_at_equal_flops,loss_by_position,tokens_per_s,spread,on_frontier\n";
  for (const ReportRow& row : report.rows) {
    text +=
        CsvLine({row.name, row.changes, RunStatusName(row.status), std::to_string(row.parameters),
                 std::to_string(row.non_embedding), fmt::format("{:.6g}", row.flops),
                 std::to_string(row.tokens), Optional(row.loss, 6, ""),
                 Optional(row.bits_per_byte, 6, ""), Optional(row.loss_at_equal_flops, 6, ""),
                 Positions(row.loss_by_position), Optional(row.tokens_per_second, 1, ""),
                 row.tokens_per_second ? fmt::format("{:.3f}", row.speed_spread) : "",
                 row.on_frontier ? "true" : "false"});
  }
  return text;
}

OrderedJson ReportAsJson(const Sweep& sweep, const SweepReport& report) {
  OrderedJson runs = OrderedJson::array();
  for (size_t i = 0; i < report.rows.size(); ++i) {
    runs.push_back(RowAsJson(report.rows[i], report.records[i], sweep.runs[i]));
  }
  return {{"equal_flops", report.equal_flops},
          {"throughput",
           {{"prompt", sweep.throughput.prompt},
            {"generate", sweep.throughput.generate},
            {"batch", sweep.throughput.batch},
            {"machines", report.machines}}},
          {"runs", runs}};
}

void WriteReport(const Sweep& sweep) {
  const SweepReport report = MakeReport(sweep);
  WriteFileAtomically(sweep.output + "/report.csv", ReportAsCsv(report));
  WriteFileAtomically(sweep.output + "/report.json", ReportAsJson(sweep, report).dump(2) + "\n");
  const bool plotted = WritePlots(sweep, report);
  WriteFileAtomically(sweep.output + "/report.md",
                      ReportAsMarkdown(sweep, report) + (plotted ? PlotLinks(sweep, report) : ""));
  LogInfo("the table is in {0}/report.md (.csv, .json)", sweep.output);
}

}  // namespace blockformer
