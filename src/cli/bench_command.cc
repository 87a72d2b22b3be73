// `blockformer bench`: flags, and where results go. The measuring lies in bench/.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/gnuplot.h"
#include "base/log.h"
#include "base/parallel.h"
#include "bench/compare.h"
#include "bench/kernels.h"
#include "bench/plot.h"
#include "bench/precision.h"
#include "bench/race.h"
#include "bench/report.h"
#include "cli/bench_flags.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/model_argument.h"
#include "cli/terminal_observer.h"
#include "cli/thread_flag.h"
#include "config/token_file_prefix.h"
#include "data/token_file_info.h"
#include "devices/devices.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxPositions = 1 << 20;
constexpr int64_t kMaxRepetitions = 1000;
constexpr int64_t kMaxSamples = 1 << 20;

struct ThroughputFlags {
  std::vector<std::string> models;
  std::string device = "auto";
  std::string dtype;
  std::vector<std::string> kv_dtypes = {"f32"};
  std::vector<std::string> batches = {"1", "8", "32"};
  std::string memory;
  RaceOptions race;
  int threads = 0;
  std::string json;
  std::string csv;
  std::string plot;
  bool force = false;
};

struct CompareFlags {
  std::string a;
  std::string b;
  bool json = false;
};

struct KernelFlags {
  std::vector<std::string> dtypes = {"f32"};
  std::vector<std::string> kv_dtypes = {"f32"};
  KernelBenchOptions bench;
  int threads = 0;
  bool force = false;
};

struct PrecisionFlags {
  std::string model;
  std::string data;
  std::vector<std::string> dtypes = {"f32", "bf16", "int8"};
  PrecisionOptions bench;
  int threads = 0;
  std::string json;
  bool force = false;
};

NumberType ParseWeightType(const std::string& text) {
  return ParseNumberType("--dtype", text, kWeightTypes);
}

std::vector<NumberType> ParseWeightTypes(const std::vector<std::string>& texts) {
  std::vector<NumberType> types;
  for (const std::string& text : texts) types.push_back(ParseWeightType(text));
  return types;
}

std::shared_ptr<const Model> LoadContestant(const std::string& path, const ThroughputFlags& flags) {
  constexpr uint64_t kWeightSeed = 1;
  DeviceOptions options = {flags.device, std::nullopt};
  if (!flags.dtype.empty()) options.type = ParseWeightType(flags.dtype);
  if (IsDirectory(path)) return LoadModel(path, options);
  return RandomModel(ReadAnyModelConfig(path), kWeightSeed, options);
}

// A name that tells a model from those before it with the same type of cache, as results have to.
std::string UniqueName(const std::string& path, NumberType kv_type,
                       const std::vector<Contestant>& others) {
  const auto is_taken = [&](const std::string& name) {
    return std::any_of(others.begin(), others.end(), [&](const Contestant& other) {
      return other.name == name && other.kv_type == kv_type;
    });
  };
  std::string name = ModelName(path);
  if (!is_taken(name)) return name;
  for (int number = 2;; ++number) {
    std::string numbered = fmt::format("{}#{}", name, number);
    if (!is_taken(numbered)) return numbered;
  }
}

std::vector<Contestant> LoadModels(const ThroughputFlags& flags) {
  const std::vector<NumberType> kv_types = ParseKvTypes(flags.kv_dtypes, flags.models.size());
  std::vector<Contestant> contestants;
  for (size_t i = 0; i < flags.models.size(); ++i) {
    PrintMessage("loading {}\n", flags.models[i]);
    const std::string name = UniqueName(flags.models[i], kv_types[i], contestants);
    contestants.push_back({name, LoadContestant(flags.models[i], flags), kv_types[i]});
  }
  return contestants;
}

void CheckFiles(const ThroughputFlags& flags) {
  std::vector<OutputFlag> outputs = {{"--json", flags.json}, {"--csv", flags.csv}};
  if (!flags.plot.empty()) {
    std::ranges::move(PlotOutputs("--plot", flags.plot), std::back_inserter(outputs));
  }
  CheckOutputs(outputs, flags.models, flags.force);
  if (!flags.plot.empty()) PlotTerminal("--plot", flags.plot, 1, 1);  // refuses other endings
}

// All that can be known to be wrong before anything is loaded or measured.
RaceOptions CheckedOptions(const ThroughputFlags& flags) {
  RaceOptions options = flags.race;
  options.batches = ParseBatches(flags.batches);
  if (!flags.memory.empty()) options.memory_bytes = ParseSize("--memory", flags.memory);
  RequireInRange("--prompt", options.prompt, 1, kMaxPositions);
  RequireInRange("--generate", options.generate, 1, kMaxPositions);
  RequireInRange("--repetitions", options.repetitions, 1, kMaxRepetitions);
  RequireInRange("--sampled-depths", options.sampled_depths, 0, kMaxPositions);
  if (!flags.dtype.empty()) ParseWeightType(flags.dtype);
  ParseKvTypes(flags.kv_dtypes, flags.models.size());
  CheckFiles(flags);
  if (!flags.plot.empty()) RequireGnuplot("--plot");
  return options;
}

// A table goes to standard output, unless a file of results does.
void PrintTable(const std::string& table, const std::vector<std::string>& results) {
  const bool is_taken = std::ranges::any_of(results, IsStandardOutput);
  if (is_taken) return WriteMessage(table);
  fmt::print("{}", table);
}

void WriteJson(const OrderedJson& report, const std::string& path) {
  if (!path.empty()) WriteFileAtomically(path, ToText(report, 2) + "\n");
}

void WriteThroughput(const ThroughputFlags& flags, const ThroughputReport& report) {
  PrintTable(ThroughputTable(report), {flags.json, flags.csv, flags.plot});
  WriteJson(ThroughputJson(report), flags.json);
  if (!flags.csv.empty()) WriteFileAtomically(flags.csv, ThroughputCsv(report));
  if (!flags.plot.empty()) WriteBenchPlot(report, flags.plot);
  for (const std::string& warning : NoiseWarnings(report)) LogWarning("{}", warning);
}

void BenchThroughput(const ThroughputFlags& flags) {
  const RaceOptions options = CheckedOptions(flags);
  UseThreads(flags.threads);
  const std::vector<Contestant> contestants = LoadModels(flags);
  const MachineSpeed before = MeasureMachine();
  TerminalObserver observer;
  const std::vector<RaceResult> results = RunRace(contestants, options, &observer);
  observer.Finish();
  WriteThroughput(flags, MakeThroughputReport(contestants, results, before, MeasureMachine()));
}

void BenchCompare(const CompareFlags& flags) {
  const ThroughputComparison comparison = CompareThroughput(flags.a, flags.b);
  fmt::print("{}", flags.json ? ToText(ThroughputComparisonJson(comparison), 2) + "\n"
                              : ThroughputComparisonTable(comparison));
}

void BenchKernels(KernelFlags flags) {
  flags.bench.types = ParseWeightTypes(flags.dtypes);
  flags.bench.kv_types = ParseKvTypes(flags.kv_dtypes, flags.kv_dtypes.size());
  Require(flags.bench.min_seconds > 0 && flags.bench.min_seconds <= 3600,
          ErrorCode::kInvalidArgument, "--min-time: {} is out of range; up to 3600 s are possible",
          flags.bench.min_seconds);
  CheckOutputs({{"--json", flags.bench.json}}, {}, flags.force);
  UseThreads(flags.threads);
  RunKernelBench(flags.bench);
}

void BenchPrecision(PrecisionFlags flags) {
  flags.bench.types = ParseWeightTypes(flags.dtypes);
  RequireInRange("--samples", flags.bench.samples, 1, kMaxSamples);
  RequireInRange("--outliers", flags.bench.outliers, 0, kMaxPositions);
  std::vector<std::string> inputs = TokenFilePaths(TokenFilePrefix(flags.data));
  inputs.push_back(flags.model);
  CheckOutputs({{"--json", flags.json}}, inputs, flags.force);
  UseThreads(flags.threads);
  TerminalObserver observer;
  const PrecisionReport report = MeasurePrecision(flags.model, flags.data, flags.bench, &observer);
  observer.Finish();
  PrintTable(PrecisionTable(report), {flags.json});
  WriteJson(PrecisionJson(report), flags.json);
}

void AddForce(CLI::App* command, bool* force) {
  command->add_flag("--force", *force, "Replace files that are there");
}

void AddThroughput(CLI::App* bench) {
  const auto flags = std::make_shared<ThroughputFlags>();
  CLI::App* command =
      bench->add_subcommand("throughput",
                            "Tokens a second of one or several models, in turn, with the paper's "
                            "protocol: random prompts, "
                            "greedy, no end of text, prompts included in the time.");
  command
      ->add_option(kModelsArgument, flags->models,
                   "Model directories, or recipes (then with random weights)")
      ->required()
      ->type_name("DIR|RECIPE");
  AddDeviceFlag(command, &flags->device);
  command->add_option("--dtype", flags->dtype,
                      "Of weights: f32, bf16 or int8; default: a directory's own, f32 of recipes");
  command
      ->add_option("--kv-dtype", flags->kv_dtypes,
                   "Of the KV cache: f32, f16 or int8, for all models or, with commas, for each")
      ->delimiter(',')
      ->capture_default_str();
  command
      ->add_option("--batch", flags->batches,
                   "Batch sizes, separated by commas, or auto: each model's best one is searched")
      ->delimiter(',')
      ->capture_default_str();
  command
      ->add_option(
          "--memory", flags->memory,
          "What a model and its cache may take; default: of a search, three quarters of what "
          "is available")
      ->type_name("SIZE");
  command->add_option("--prompt", flags->race.prompt, "Tokens of each prompt")
      ->capture_default_str();
  command->add_option("--generate", flags->race.generate, "Tokens generated after it")
      ->capture_default_str();
  command
      ->add_option("--repetitions", flags->race.repetitions,
                   "Timed runs of each; medians are shown")
      ->capture_default_str();
  command
      ->add_option("--sampled-depths", flags->race.sampled_depths,
                   "Time decoding at so many depths only, on a made-up cache, and add it up; "
                   "0: full runs")
      ->capture_default_str();
  command->add_option("--threads", flags->threads, "0: one a processor")->capture_default_str();
  command->add_option("--json", flags->json, "Write the results to a file; - is standard output")
      ->type_name("FILE|-");
  command->add_option("--csv", flags->csv, "Write the results as a table")->type_name("FILE");
  command
      ->add_option("--plot", flags->plot,
                   "Draw throughput against batch size and context, with the machine's limits, as "
                   ".svg or .png; gnuplot's script stays beside it")
      ->type_name("FILE");
  AddForce(command, &flags->force);
  command->callback([flags] { BenchThroughput(*flags); });
}

void AddCompare(CLI::App* bench) {
  const auto flags = std::make_shared<CompareFlags>();
  CLI::App* command = bench->add_subcommand(
      "compare",
      "Compares two files of `bench throughput --json`, and says what differs by more "
      "than the spread.");
  command->add_option("a", flags->a, "What the other is compared with")
      ->required()
      ->type_name("A.json");
  command->add_option("b", flags->b, "")->required()->type_name("B.json");
  command->add_flag("--json", flags->json, "Write JSON");
  command->callback([flags] { BenchCompare(*flags); });
}

void AddKernels(CLI::App* bench) {
  const auto flags = std::make_shared<KernelFlags>();
  CLI::App* command = bench->add_subcommand(
      "kernels",
      "Matrix products and attention of the paper's models alone, with cold weights, as shares of "
      "this machine's peak and bandwidth.");
  command->add_option("--dtype", flags->dtypes, "Of weights: f32, bf16, int8, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command
      ->add_option("--kv-dtype", flags->kv_dtypes,
                   "Of keys and values: f32, f16, int8, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--filter", flags->bench.filter, "Only those whose name holds it")
      ->type_name("REGEX");
  command->add_option("--min-time", flags->bench.min_seconds, "Seconds of each at least")
      ->capture_default_str();
  command->add_option("--threads", flags->threads, "0: one a processor")->capture_default_str();
  command
      ->add_option("--json", flags->bench.json,
                   "Write Google Benchmark's JSON to a file; - is standard output")
      ->type_name("FILE|-");
  AddForce(command, &flags->force);
  command->callback([flags] { BenchKernels(*flags); });
}

void AddPrecision(CLI::App* bench) {
  const auto flags = std::make_shared<PrecisionFlags>();
  CLI::App* command = bench->add_subcommand(
      "precision",
      "Perplexity of a model with its linear layers in each type of weights, over samples of a "
      "token file.");
  command->add_option(kModelArgument, flags->model, "A model directory")
      ->required()
      ->type_name("DIR");
  command->add_option("--data", flags->data, "Token file of `blockformer prepare`")
      ->required()
      ->type_name("PREFIX");
  command->add_option("--dtype", flags->dtypes, "Of weights: f32, bf16, int8, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--samples", flags->bench.samples, "At most, of the model's context each")
      ->capture_default_str();
  command
      ->add_option("--outliers", flags->bench.outliers,
                   "So many channels behind each norm are made 100 times as large, and what reads "
                   "them 1/100: the same function, with the outliers of large models")
      ->capture_default_str();
  command->add_option("--threads", flags->threads, "0: one a processor")->capture_default_str();
  command->add_option("--json", flags->json, "Write the results to a file; - is standard output")
      ->type_name("FILE|-");
  AddForce(command, &flags->force);
  command->callback([flags] { BenchPrecision(*flags); });
}

}  // namespace

void AddBenchCommand(CLI::App& app) {
  CLI::App* bench =
      app.add_subcommand("bench", "Measures speed, and what the precision of weights costs.");
  bench->require_subcommand(1);
  AddThroughput(bench);
  AddCompare(bench);
  AddKernels(bench);
  AddPrecision(bench);
}

}  // namespace blockformer
