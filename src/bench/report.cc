#include "bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "base/parallel.h"
#include "base/statistics.h"
#include "base/table.h"
#include "bench/build_info.h"
#include "blockformer/version.h"

namespace blockformer {
namespace {

constexpr double kNoise = 0.15;

double MedianOf(const RaceResult& result,
                const std::function<double(const ThroughputRun&)>& value) {
  std::vector<double> values;
  for (const ThroughputRun& run : result.runs) values.push_back(value(run));
  return Median(values);
}

std::optional<double> DecodeRate(const RaceResult& result) {
  // The same in every run: what a step does depends on nothing but the setting.
  const int64_t decoded =
      result.setting.batch * result.setting.generate - result.runs.front().tokens_in_prefill;
  if (decoded <= 0) return std::nullopt;
  return static_cast<double>(decoded) /
         MedianOf(result, [](const ThroughputRun& run) { return run.total - run.prefill; });
}

std::optional<double> MeasuredBytesPerSequence(const RaceResult& result) {
  int64_t most = 0;  // a run may find some of its memory left over by another
  for (const ThroughputRun& run : result.runs) most = std::max(most, run.resident_bytes);
  if (most == 0) return std::nullopt;
  return static_cast<double>(most) / static_cast<double>(result.setting.batch);
}

// What a result's ratio is to, or null.
const RaceResult* BaseOf(const RaceResult& result, const std::vector<RaceResult>& results) {
  const RaceResult* base = nullptr;
  for (const RaceResult& other : results) {
    if (other.contestant != 0) continue;
    if (other.setting.batch == result.setting.batch && other.is_full == result.is_full) {
      return &other;
    }
    if (other.is_best && result.is_best) base = &other;
  }
  return base;
}

double SpreadOf(const RaceResult& result) {
  std::vector<double> seconds;
  for (const ThroughputRun& run : result.runs) seconds.push_back(run.total);
  return Spread(seconds);
}

void SetDecoding(const Contestant& contestant, const RaceResult& result,
                 const MachineSpeed& machine, ThroughputResult* out) {
  const ModelConfig& config = contestant.model->config();
  const int64_t context = result.setting.mean_context();
  const double unit_tokens =
      static_cast<double>(result.setting.batch * contestant.model->unit_length());
  const double bytes = WeightBytesPerUnit(config, out->types.weights) / unit_tokens +
                       KvBytesReadPerToken(config, out->types.kv, context);
  out->limit_tokens_per_s = DecodeLimit(config, out->types, context, machine);
  out->decode_tokens_per_s = DecodeRate(result);
  if (!out->decode_tokens_per_s) return;
  const double rate = *out->decode_tokens_per_s;
  out->unit_ms = 1e3 * unit_tokens / rate;
  out->bandwidth_share = rate * bytes * 1e-9 / machine.memory_gbps;
  out->share_of_limit = rate / out->limit_tokens_per_s;
}

// The speeds by context of the run with the median time.
std::vector<ContextSpeed> SpeedByContext(const Contestant& contestant, const RaceResult& result,
                                         const MachineSpeed& machine) {
  std::vector<const ThroughputRun*> runs;
  for (const ThroughputRun& run : result.runs) runs.push_back(&run);
  std::sort(runs.begin(), runs.end(),
            [](const auto* a, const auto* b) { return a->total < b->total; });
  std::vector<ContextSpeed> speeds;
  for (const ContextRate& rate : runs[runs.size() / 2]->by_context) {
    speeds.push_back({rate.context, rate.tokens_per_s,
                      DecodeLimit(contestant.model->config(), contestant.types(),
                                  static_cast<int64_t>(rate.context), machine)});
  }
  return speeds;
}

ThroughputResult MakeResult(const Contestant& contestant, const RaceResult& result,
                            const RaceResult* base, const MachineSpeed& machine) {
  const ModelConfig& config = contestant.model->config();
  const ThroughputSetting& setting = result.setting;
  const double prefill = MedianOf(result, [](const ThroughputRun& run) { return run.prefill; });
  const double seconds = MedianOf(result, [](const ThroughputRun& run) { return run.total; });
  ThroughputResult out;
  out.model = contestant.name;
  out.kind = KindName(config);
  out.types = contestant.types();
  out.setting = setting;
  out.is_best = result.is_best;
  out.is_full = result.is_full;
  out.prefill_tokens_per_s = static_cast<double>(setting.batch * setting.prompt) / prefill;
  out.total_tokens_per_s = TotalRate(result);
  out.ttft_ms = prefill * 1e3;
  out.utilisation =
      UsefulOperations(config, setting) / seconds * 1e-9 / machine.Peak(out.types.weights);
  SetDecoding(contestant, result, machine, &out);
  out.total_limit_tokens_per_s = TotalLimit(config, out.types, setting, machine);
  out.bytes_per_sequence = KvBytesPerSequence(config, out.types.kv, setting.length());
  out.measured_bytes_per_sequence = MeasuredBytesPerSequence(result);
  if (base != nullptr) out.ratio = out.total_tokens_per_s / TotalRate(*base);
  out.repetitions = result.runs.size();
  out.spread = SpreadOf(result);
  out.by_context = SpeedByContext(contestant, result, machine);
  return out;
}

OrderedJson ResultJson(const ThroughputResult& result) {
  return {{"model", result.model},
          {"kind", result.kind},
          {"dtype", NumberTypeName(result.types.weights)},
          {"kv_dtype", NumberTypeName(result.types.kv)},
          {"batch", result.setting.batch},
          {"best", result.is_best},
          {"method", result.is_full ? "full" : "sampled"},
          {"prompt", result.setting.prompt},
          {"generate", result.setting.generate},
          {"prefill_tokens_per_s", result.prefill_tokens_per_s},
          {"decode_tokens_per_s", OrNull(result.decode_tokens_per_s)},
          {"total_tokens_per_s", result.total_tokens_per_s},
          {"ttft_ms", result.ttft_ms},
          {"utilisation", result.utilisation},
          {"unit_ms", OrNull(result.unit_ms)},
          {"bandwidth_share", OrNull(result.bandwidth_share)},
          {"limit_tokens_per_s", result.limit_tokens_per_s},
          {"share_of_limit", OrNull(result.share_of_limit)},
          {"total_limit_tokens_per_s", result.total_limit_tokens_per_s},
          {"bytes_per_sequence", result.bytes_per_sequence},
          {"measured_bytes_per_sequence", OrNull(result.measured_bytes_per_sequence)},
          {"ratio", OrNull(result.ratio)},
          {"repetitions", result.repetitions},
          {"spread", result.spread}};
}

OrderedJson ByContextJson(const ThroughputResult& result) {
  OrderedJson points = OrderedJson::array();
  for (const ContextSpeed& speed : result.by_context) {
    points.push_back({{"context", speed.context},
                      {"decode_tokens_per_s", speed.decode_tokens_per_s},
                      {"limit_tokens_per_s", speed.limit_tokens_per_s}});
  }
  return {{"model", result.model},
          {"kv_dtype", NumberTypeName(result.types.kv)},
          {"batch", result.setting.batch},
          {"best", result.is_best},
          {"points", points}};
}

OrderedJson SpeedJson(const MachineSpeed& speed) {
  return {{"int8_gops", speed.int8_gops},
          {"f32_gflops", speed.f32_gflops},
          {"memory_gbps", speed.memory_gbps}};
}

OrderedJson MachineJson(const ThroughputReport& report) {
  OrderedJson json = {{"processor", report.cpu.model_name},
                      {"features", report.cpu.features},
                      {"memory_bytes", report.cpu.memory_bytes},
                      {"threads", report.threads}};
  json.update(SpeedJson(Between(report.before, report.after)));
  json["before"] = SpeedJson(report.before);
  json["after"] = SpeedJson(report.after);
  json["drift"] = Drift(report.before, report.after);
  return json;
}

std::string Number(const std::optional<double>& value, int digits = 0) {
  return value ? fmt::format("{:.{}f}", *value, digits) : "-";
}

std::string Percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f}%", *share * 100) : "-";
}

std::string Megabytes(const std::optional<double>& bytes) {
  return bytes ? fmt::format("{:.1f}", *bytes * 1e-6) : "-";
}

std::vector<TableColumn> TableColumns() {
  std::vector<TableColumn> columns = {{"model"}};
  for (const char* header :
       {"kind", "dtype", "kv", "batch", "prefill/s", "decode/s", "total/s", "ttft ms", "unit ms",
        "MB/seq", "formula", "peak", "memory", "limit", "spread", "ratio"}) {
    columns.push_back({header, /*is_number=*/true});
  }
  columns.push_back({""});
  return columns;
}

std::string Remark(const ThroughputResult& result) {
  if (result.is_full) return result.is_best ? "best" : "";
  return result.is_best ? "best  (sampled)" : "(sampled)";
}

// A result's cells in the table, one for each column.
std::vector<std::string> Cells(const ThroughputResult& result) {
  return {result.model,
          result.kind,
          NumberTypeName(result.types.weights),
          NumberTypeName(result.types.kv),
          fmt::format("{}", result.setting.batch),
          Number(result.prefill_tokens_per_s),
          Number(result.decode_tokens_per_s),
          Number(result.total_tokens_per_s),
          Number(result.ttft_ms),
          Number(result.unit_ms, 1),
          Megabytes(result.measured_bytes_per_sequence),
          Megabytes(result.bytes_per_sequence),
          Percent(result.utilisation),
          Percent(result.bandwidth_share),
          Percent(result.share_of_limit),
          Percent(result.spread),
          Number(result.ratio, 2),
          Remark(result)};
}

std::string CsvField(const OrderedJson& value) {
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

ThroughputReport MakeThroughputReport(const std::vector<Contestant>& contestants,
                                      const std::vector<RaceResult>& results,
                                      const MachineSpeed& before, const MachineSpeed& after) {
  ThroughputReport report = {GetCpuInfo(), NumThreads(), before, after, {}};
  for (const RaceResult& result : results) {
    report.results.push_back(MakeResult(contestants[result.contestant], result,
                                        BaseOf(result, results), Between(before, after)));
  }
  return report;
}

OrderedJson ThroughputJson(const ThroughputReport& report) {
  OrderedJson flat = OrderedJson::array();
  OrderedJson by_context = OrderedJson::array();
  for (const ThroughputResult& result : report.results) {
    flat.push_back(ResultJson(result));
    by_context.push_back(ByContextJson(result));
  }
  return {{"machine", MachineJson(report)}, {"blockformer", kVersion}, {"commit", kBuildCommit},
          {"compiler", kBuildCompiler},     {"flags", kBuildFlags},    {"results", flat},
          {"by_context", by_context}};
}

std::string ThroughputTable(const ThroughputReport& report) {
  TableRows rows;
  for (const ThroughputResult& result : report.results) rows.push_back(Cells(result));
  const MachineSpeed& before = report.before;
  const MachineSpeed& after = report.after;
  return AlignedTable(TableColumns(), rows) +
         fmt::format(
             "\nThis machine, before and after: {:.0f} and {:.0f} GFLOP/s of f32, {:.0f} and "
             "{:.0f} GOP/s of int8, {:.1f} and {:.1f} GB/s of memory.\n",
             before.f32_gflops, after.f32_gflops, before.int8_gops, after.int8_gops,
             before.memory_gbps, after.memory_gbps);
}

std::string ThroughputCsv(const ThroughputReport& report) {
  std::string text;
  for (const ThroughputResult& result : report.results) {
    std::vector<std::string> names;
    std::vector<std::string> fields;
    const OrderedJson json = ResultJson(result);
    for (const auto& [name, value] : json.items()) {
      names.push_back(name);
      fields.push_back(CsvField(value));
    }
    if (text.empty()) text = CsvLine(names);
    text += CsvLine(fields);
  }
  return text;
}

std::vector<std::string> NoiseWarnings(const ThroughputReport& report) {
  std::vector<std::string> warnings;
  const double drift = Drift(report.before, report.after);
  if (drift > kNoise) {
    warnings.push_back(fmt::format(
        "the machine's own figures differ by {:.0f} % between before and after", drift * 100));
  }
  for (const ThroughputResult& result : report.results) {
    if (result.spread <= kNoise) continue;
    warnings.push_back(fmt::format("{}, batch {}: repetitions differ by {:.0f} %", result.model,
                                   result.setting.batch, result.spread * 100));
  }
  return warnings;
}

}  // namespace blockformer
