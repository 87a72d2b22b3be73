#include "bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "base/cpu.h"
#include "base/parallel.h"
#include "base/statistics.h"
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

// In tokens a second behind the prefill; null if it makes all tokens.
OrderedJson DecodeRate(const RaceResult& result) {
  // The same in every run: what a step does depends on nothing but the setting.
  const int64_t decoded =
      result.setting.batch * result.setting.generate - result.runs.front().tokens_in_prefill;
  if (decoded <= 0) return nullptr;
  return static_cast<double>(decoded) /
         MedianOf(result, [](const ThroughputRun& run) { return run.total - run.prefill; });
}

OrderedJson MeasuredBytesPerSequence(const RaceResult& result) {
  int64_t most = 0;  // a run may find some of its memory left over by another
  for (const ThroughputRun& run : result.runs) most = std::max(most, run.resident_bytes);
  if (most == 0) return nullptr;
  return static_cast<double>(most) / static_cast<double>(result.setting.batch);
}

// What a result's ratio is to: the first model's at the same batch size, measured alike; for a
// best result otherwise the first model's best. Null if there is neither.
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

// What a decoding rate in tokens a second means for the model and the machine.
void AddDecoding(const Contestant& contestant, const RaceResult& result,
                 const MachineSpeed& machine, const OrderedJson& rate, OrderedJson* json) {
  const ModelConfig& config = contestant.model->config();
  const NumberTypes types = contestant.types();
  const int64_t context = result.setting.mean_context();
  const double unit_tokens =
      static_cast<double>(result.setting.batch * contestant.model->unit_length());
  const double limit = DecodeLimit(config, types, context, machine);
  const double bytes = WeightBytesPerUnit(config, types.weights) / unit_tokens +
                       KvBytesReadPerToken(config, types.kv, context);
  const auto of_rate = [&](double factor) {
    return rate.is_null() ? OrderedJson() : OrderedJson(rate.get<double>() * factor);
  };
  (*json)["unit_ms"] =
      rate.is_null() ? OrderedJson() : OrderedJson(1e3 * unit_tokens / rate.get<double>());
  (*json)["bandwidth_share"] = of_rate(bytes * 1e-9 / machine.memory_gbps);
  (*json)["limit_tokens_per_s"] = limit;
  (*json)["share_of_limit"] = of_rate(1 / limit);
}

OrderedJson ResultToJson(const Contestant& contestant, const RaceResult& result,
                         const RaceResult* base, const MachineSpeed& machine) {
  const ModelConfig& config = contestant.model->config();
  const ThroughputSetting& setting = result.setting;
  const NumberTypes types = contestant.types();
  const double total = TotalRate(result);
  const double prefill = MedianOf(result, [](const ThroughputRun& run) { return run.prefill; });
  const double seconds = MedianOf(result, [](const ThroughputRun& run) { return run.total; });
  const OrderedJson decode = DecodeRate(result);
  OrderedJson json = {
      {"model", contestant.name},
      {"kind", KindName(config)},
      {"dtype", NumberTypeName(types.weights)},
      {"kv_dtype", NumberTypeName(types.kv)},
      {"batch", setting.batch},
      {"best", result.is_best},
      {"method", result.is_full ? "full" : "sampled"},
      {"prompt", setting.prompt},
      {"generate", setting.generate},
      {"prefill_tokens_per_s", static_cast<double>(setting.batch * setting.prompt) / prefill},
      {"decode_tokens_per_s", decode},
      {"total_tokens_per_s", total},
      {"ttft_ms", prefill * 1e3},
      {"utilisation",
       UsefulOperations(config, setting) / seconds * 1e-9 / machine.Peak(types.weights)}};
  AddDecoding(contestant, result, machine, decode, &json);
  json["total_limit_tokens_per_s"] = TotalLimit(config, types, setting, machine);
  json["bytes_per_sequence"] = KvBytesPerSequence(config, types.kv, setting.length());
  json["measured_bytes_per_sequence"] = MeasuredBytesPerSequence(result);
  json["ratio"] = base == nullptr ? OrderedJson() : OrderedJson(total / TotalRate(*base));
  json["repetitions"] = result.runs.size();
  json["spread"] = SpreadOf(result);
  return json;
}

// Of the run with the median time.
OrderedJson ContextToJson(const Contestant& contestant, const RaceResult& result,
                          const MachineSpeed& machine) {
  std::vector<const ThroughputRun*> runs;
  for (const ThroughputRun& run : result.runs) runs.push_back(&run);
  std::sort(runs.begin(), runs.end(),
            [](const auto* a, const auto* b) { return a->total < b->total; });
  OrderedJson points = OrderedJson::array();
  for (const ContextRate& rate : runs[runs.size() / 2]->by_context) {
    points.push_back(
        {{"context", rate.context},
         {"decode_tokens_per_s", rate.tokens_per_s},
         {"limit_tokens_per_s", DecodeLimit(contestant.model->config(), contestant.types(),
                                            static_cast<int64_t>(rate.context), machine)}});
  }
  return {{"model", contestant.name},
          {"kv_dtype", NumberTypeName(contestant.kv_type)},
          {"batch", result.setting.batch},
          {"best", result.is_best},
          {"points", points}};
}

OrderedJson SpeedToJson(const MachineSpeed& speed) {
  return {{"int8_gops", speed.int8_gops},
          {"f32_gflops", speed.f32_gflops},
          {"memory_gbps", speed.memory_gbps}};
}

OrderedJson MachineToJson(const MachineSpeed& before, const MachineSpeed& after) {
  const CpuInfo cpu = GetCpuInfo();
  OrderedJson json = {{"processor", cpu.model_name},
                      {"features", cpu.features},
                      {"memory_bytes", cpu.memory_bytes},
                      {"threads", NumThreads()}};
  json.update(SpeedToJson(Between(before, after)));
  json["before"] = SpeedToJson(before);
  json["after"] = SpeedToJson(after);
  json["drift"] = Drift(before, after);
  return json;
}

// A column of the table, right-aligned but for names.
struct Column {
  const char* title;
  int width;
  const char* key;
  double factor = 1;  // what the field's value is multiplied by
  int digits = 0;
  const char* unit = "";
};

constexpr Column kColumns[] = {
    {"kind", 7, "kind"},
    {"dtype", 5, "dtype"},
    {"kv", 4, "kv_dtype"},
    {"batch", 5, "batch"},
    {"prefill/s", 9, "prefill_tokens_per_s"},
    {"decode/s", 9, "decode_tokens_per_s"},
    {"total/s", 9, "total_tokens_per_s"},
    {"ttft ms", 8, "ttft_ms"},
    {"unit ms", 8, "unit_ms", 1, 1},
    {"MB/seq", 7, "measured_bytes_per_sequence", 1e-6, 1},
    {"formula", 7, "bytes_per_sequence", 1e-6, 1},
    {"peak", 5, "utilisation", 100, 0, "%"},
    {"memory", 6, "bandwidth_share", 100, 0, "%"},
    {"limit", 5, "share_of_limit", 100, 0, "%"},
    {"spread", 6, "spread", 100, 0, "%"},
    {"ratio", 6, "ratio", 1, 2},
};

std::string Cell(const Column& column, const OrderedJson& result) {
  const OrderedJson& value = result[column.key];
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  return fmt::format("{:.{}f}{}", value.get<double>() * column.factor, column.digits, column.unit);
}

// "best" behind a model's best batch; what was not carried out in full is said to be so.
std::string Remark(const OrderedJson& result) {
  std::string remark = result["best"].get<bool>() ? "  best" : "";
  if (result["method"] == "sampled") remark += "  (sampled)";
  return remark;
}

std::string CsvField(const OrderedJson& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return value.dump();
  std::string text = value.get<std::string>();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

OrderedJson MakeReport(const std::vector<Contestant>& contestants,
                       const std::vector<RaceResult>& results, const MachineSpeed& before,
                       const MachineSpeed& after) {
  const MachineSpeed machine = Between(before, after);
  OrderedJson flat = OrderedJson::array();
  OrderedJson by_context = OrderedJson::array();
  for (const RaceResult& result : results) {
    const Contestant& contestant = contestants[result.contestant];
    flat.push_back(ResultToJson(contestant, result, BaseOf(result, results), machine));
    by_context.push_back(ContextToJson(contestant, result, machine));
  }
  return {{"machine", MachineToJson(before, after)},
          {"blockformer", kVersion},
          {"commit", kBuildCommit},
          {"compiler", kBuildCompiler},
          {"flags", kBuildFlags},
          {"results", flat},
          {"by_context", by_context}};
}

std::string ReportTable(const OrderedJson& report) {
  size_t name_width = 5;
  for (const OrderedJson& result : report["results"]) {
    name_width = std::max(name_width, result["model"].get_ref<const std::string&>().size());
  }
  std::string text = fmt::format("{:<{}}", "model", name_width);
  for (const Column& column : kColumns) text += fmt::format("  {:>{}}", column.title, column.width);
  text += '\n';
  for (const OrderedJson& result : report["results"]) {
    text += fmt::format("{:<{}}", result["model"].get<std::string>(), name_width);
    for (const Column& column : kColumns) {
      text += fmt::format("  {:>{}}", Cell(column, result), column.width);
    }
    text += Remark(result) + '\n';
  }
  const OrderedJson& machine = report["machine"];
  return text +
         fmt::format(
             "\nThis machine, before and after: {:.0f} and {:.0f} GFLOP/s of f32, {:.0f} and "
             "{:.0f} GOP/s of int8, {:.1f} and {:.1f} GB/s of memory.\n",
             machine["before"]["f32_gflops"].get<double>(),
             machine["after"]["f32_gflops"].get<double>(),
             machine["before"]["int8_gops"].get<double>(),
             machine["after"]["int8_gops"].get<double>(),
             machine["before"]["memory_gbps"].get<double>(),
             machine["after"]["memory_gbps"].get<double>());
}

std::string ReportCsv(const OrderedJson& report) {
  std::string text;
  const auto add_line = [&text](const std::vector<std::string>& fields) {
    text += fmt::format("{}\n", fmt::join(fields, ","));
  };
  std::vector<std::string> names;
  for (const auto& [name, value] : report["results"].front().items()) names.push_back(name);
  add_line(names);
  for (const OrderedJson& result : report["results"]) {
    std::vector<std::string> fields;
    for (const std::string& name : names) fields.push_back(CsvField(result[name]));
    add_line(fields);
  }
  return text;
}

std::vector<std::string> NoiseWarnings(const OrderedJson& report) {
  std::vector<std::string> warnings;
  const double drift = report["machine"]["drift"].get<double>();
  if (drift > kNoise) {
    warnings.push_back(fmt::format(
        "the machine's own figures differ by {:.0f} % between before and after", drift * 100));
  }
  for (const OrderedJson& result : report["results"]) {
    const double spread = result["spread"].get<double>();
    if (spread <= kNoise) continue;
    warnings.push_back(fmt::format("{}, batch {}: repetitions differ by {:.0f} %",
                                   result["model"].get<std::string>(),
                                   result["batch"].get<int64_t>(), spread * 100));
  }
  return warnings;
}

}  // namespace blockformer
