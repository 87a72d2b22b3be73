// `blockformer bench throughput`: several models in turn, one table.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/statistics.h"
#include "blockformer/version.h"
#include "cli/bench_throughput.h"
#include "cli/commands.h"
#include "cli/model_argument.h"
#include "config/json.h"
#include "config/parameters.h"
#include "kernels/machine.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxPositions = 1 << 20;
constexpr int64_t kFloatBytes = 4;

struct Flags {
  std::vector<std::string> models;
  std::vector<int64_t> batches = {1, 8, 32};
  int64_t prompt = 128;
  int64_t generate = 128;
  int64_t repetitions = 3;
  int threads = 0;
  std::string json;
};

struct Contestant {
  std::string name;
  std::shared_ptr<const Model> model;
};

struct Machine {
  double f32_gflops = 0;
  double int8_gops = 0;
  double memory_gbps = 0;
};

std::vector<Contestant> LoadModels(const std::vector<std::string>& paths) {
  std::vector<Contestant> contestants;
  for (const std::string& path : paths) {
    fmt::print(stderr, "loading {}\n", path);
    constexpr uint64_t kWeightSeed = 1;
    const ModelConfig config = ReadAnyModelConfig(path);
    contestants.push_back({ModelName(path), IsDirectory(path)
                                                ? Model::Load(path)
                                                : Model::Random(config, kWeightSeed)});
  }
  return contestants;
}

OrderedJson Summarise(const Contestant& contestant, const ThroughputSetting& setting,
                      const std::vector<ThroughputRun>& runs, const Machine& machine) {
  const ModelConfig& config = contestant.model->config();
  std::vector<double> prefill, decode, total;
  const double batch = static_cast<double>(setting.batch);
  // The same in every run: what a step does depends on nothing but the setting.
  const double decoded = batch * static_cast<double>(setting.generate) -
                         static_cast<double>(runs.front().tokens_in_prefill);
  for (const ThroughputRun& run : runs) {
    prefill.push_back(run.prefill);
    decode.push_back(run.total - run.prefill);
    total.push_back(run.total);
  }
  const double total_rate = batch * static_cast<double>(setting.generate) / Median(total);
  OrderedJson result = {
      {"model", contestant.name},
      {"kind", KindName(config)},
      {"dtype", "f32"},
      {"batch", setting.batch},
      {"best", false},
      {"prompt", setting.prompt},
      {"generate", setting.generate},
      {"prefill_tokens_per_s", batch * static_cast<double>(setting.prompt) / Median(prefill)},
      {"decode_tokens_per_s", decoded > 0 ? OrderedJson(decoded / Median(decode)) : OrderedJson()},
      {"total_tokens_per_s", total_rate},
      {"ttft_ms", Median(prefill) * 1e3},
      {"utilisation", UsefulFlops(config, setting) / Median(total) * 1e-9 / machine.f32_gflops},
      {"bytes_per_sequence", KvBytesPerToken(config, kFloatBytes) *
                                 static_cast<double>(setting.prompt + setting.generate)},
      {"repetitions", runs.size()},
      {"spread", Spread(total)}};
  return result;
}

// Runs every model at every batch size, in turn within each repetition, so that a machine whose
// speed drifts treats all alike.
std::vector<OrderedJson> RunAll(const Flags& flags, const std::vector<Contestant>& contestants,
                                const Machine& machine) {
  std::vector<OrderedJson> results;
  ProgressBar progress(
      "measuring",
      static_cast<int64_t>(flags.batches.size() * contestants.size()) * (flags.repetitions + 1),
      "runs");
  int64_t done = 0;
  for (const int64_t batch : flags.batches) {
    const ThroughputSetting setting{batch, flags.prompt, flags.generate};
    std::vector<std::vector<ThroughputRun>> runs(contestants.size());
    for (int64_t repetition = 0; repetition <= flags.repetitions; ++repetition) {
      for (size_t i = 0; i < contestants.size(); ++i) {
        const ThroughputRun run = RunThroughput(contestants[i].model, setting);
        if (repetition > 0) runs[i].push_back(run);  // the first one warms up
        progress.Update(++done, fmt::format("{} batch {}", contestants[i].name, batch));
      }
    }
    for (size_t i = 0; i < contestants.size(); ++i) {
      results.push_back(Summarise(contestants[i], setting, runs[i], machine));
    }
  }
  progress.Finish();
  return results;
}

void MarkBest(const std::vector<Contestant>& contestants, std::vector<OrderedJson>* results) {
  for (const Contestant& contestant : contestants) {
    OrderedJson* best = nullptr;
    for (OrderedJson& result : *results) {
      if (result["model"] != contestant.name) continue;
      if (best == nullptr || result["total_tokens_per_s"] > (*best)["total_tokens_per_s"]) {
        best = &result;
      }
    }
    if (best != nullptr) (*best)["best"] = true;
  }
}

void PrintTable(const std::vector<OrderedJson>& results, FILE* out) {
  fmt::print(out, "{:<20} {:<8} {:>6} {:>12} {:>11} {:>11} {:>9} {:>6} {:>7} {:>7}\n", "model",
             "kind", "batch", "prefill t/s", "decode t/s", "total t/s", "ttft ms", "peak", "spread",
             "ratio");
  for (const OrderedJson& result : results) {
    // The first model's result at the same batch size is what the others are compared with.
    const auto base = std::find_if(results.begin(), results.end(), [&](const OrderedJson& other) {
      return other["batch"] == result["batch"];
    });
    const auto number = [&](const char* key) { return result[key].get<double>(); };
    const OrderedJson& decode = result["decode_tokens_per_s"];
    fmt::print(
        out,
        "{:<20} {:<8} {:>6} {:>12.0f} {:>11} {:>11.0f} {:>9.0f} {:>5.0f}% {:>6.0f}% {:>7.2f}{}\n",
        result["model"].get<std::string>(), result["kind"].get<std::string>(),
        result["batch"].get<int64_t>(), number("prefill_tokens_per_s"),
        decode.is_null() ? "-" : fmt::format("{:.0f}", decode.get<double>()),
        number("total_tokens_per_s"), number("ttft_ms"), number("utilisation") * 100,
        number("spread") * 100,
        number("total_tokens_per_s") / (*base)["total_tokens_per_s"].get<double>(),
        result["best"].get<bool>() ? "  best" : "");
  }
}

void CheckFlags(const Flags& flags) {
  const auto require = [](int64_t value, int64_t min, int64_t max, const char* name) {
    Require(value >= min && value <= max, ErrorCode::kInvalidArgument,
            "{}: {} is out of range; {} to {} is wanted", name, value, min, max);
  };
  for (const int64_t batch : flags.batches) require(batch, 1, 1 << 14, "--batch");
  require(flags.prompt, 1, kMaxPositions, "--prompt");
  require(flags.generate, 1, kMaxPositions, "--generate");
  require(flags.repetitions, 1, 1000, "--repetitions");
}

void BenchThroughput(const Flags& flags) {
  CheckFlags(flags);
  if (flags.threads != 0) SetNumThreads(flags.threads);
  const std::vector<Contestant> contestants = LoadModels(flags.models);
  const Machine machine = {MeasureF32Gflops(), MeasureInt8Gops(), MeasureMemoryGbps()};
  std::vector<OrderedJson> results = RunAll(flags, contestants, machine);
  MarkBest(contestants, &results);

  const CpuInfo cpu = GetCpuInfo();
  const OrderedJson report = {{"machine",
                               {{"processor", cpu.model_name},
                                {"threads", NumThreads()},
                                {"f32_gflops", machine.f32_gflops},
                                {"int8_gops", machine.int8_gops},
                                {"memory_gbps", machine.memory_gbps}}},
                              {"blockformer", kVersion},
                              {"compiler", __VERSION__},
                              {"results", results}};
  if (flags.json == "-") {
    fmt::print("{}\n", ToText(report, 2));
    return PrintTable(results, stderr);
  }
  if (!flags.json.empty()) WriteFileAtomically(flags.json, ToText(report, 2) + "\n");
  PrintTable(results, stdout);
  fmt::print("\nOf this machine, measured now: {:.0f} GFLOP/s of f32, {:.1f} GB/s of memory.\n",
             machine.f32_gflops, machine.memory_gbps);
}

}  // namespace

void AddBenchCommand(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "Measures speed.");
  bench->require_subcommand(1);
  const auto flags = std::make_shared<Flags>();
  CLI::App* command =
      bench->add_subcommand("throughput",
                            "Tokens a second of one or several models, in turn, with the paper's "
                            "protocol: random prompts, "
                            "greedy, no end of text, prompts included in the time.");
  command
      ->add_option("models", flags->models,
                   "Model directories, or recipes (then with random weights)")
      ->required()
      ->type_name("DIR|RECIPE...");
  command->add_option("--batch", flags->batches, "Batch sizes, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--prompt", flags->prompt, "Tokens of each prompt")->capture_default_str();
  command->add_option("--generate", flags->generate, "Tokens generated after it")
      ->capture_default_str();
  command->add_option("--repetitions", flags->repetitions, "Timed runs of each; medians are shown")
      ->capture_default_str();
  command->add_option("--threads", flags->threads, "0: one a processor")->capture_default_str();
  command->add_option("--json", flags->json, "Write the results to a file; - is standard output")
      ->type_name("FILE|-");
  command->callback([flags] { BenchThroughput(*flags); });
}

}  // namespace blockformer
