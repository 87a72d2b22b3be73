#include "bench/kernels.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <functional>
#include <memory>
#include <numeric>
#include <regex>

#include "base/error.h"
#include "base/random.h"
#include "bench/build_info.h"
#include "bench/machine_speed.h"
#include "checkpoint/quantize.h"
#include "engine/kv_cache.h"
#include "engine/weights.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"

namespace blockformer {
namespace {

// Larger than the caches of most machines: what is read in turn from so much comes from memory.
constexpr int64_t kColdBytes = int64_t{64} << 20;
constexpr int64_t kVocabSize = 50304;
constexpr int64_t kRows[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512};
constexpr int64_t kContexts[] = {128, 512, 2048, 8192};

// The widths of the models in recipes/: those of their decoders and of their token decoders.
struct Width {
  const char* models;
  int64_t hidden;
  int64_t heads;
};
constexpr Width kWidths[] = {
    {"5M", 256, 8}, {"19M", 512, 8}, {"85M", 768, 12}, {"302M", 1024, 16}, {"805M,1.2B", 2048, 16}};

struct GemmShape {
  const char* name;
  int64_t out;
  int64_t in;
};

std::vector<GemmShape> ShapesOf(int64_t hidden) {
  return {{"qkv", 3 * hidden, hidden},  {"dense", hidden, hidden},
          {"up", 4 * hidden, hidden},   {"down", hidden, 4 * hidden},
          {"head", kVocabSize, hidden}, {"expansion", 2 * hidden, hidden}};
}

std::vector<float> RandomValues(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(random.Below(2001)) * 1e-3F - 1;
  return values;
}

PackedLinear MakeLinear(NumberType type, int64_t out, int64_t in, uint64_t seed) {
  const std::vector<float> weights = RandomValues(out * in, seed);
  if (type != NumberType::kInt8) return PackedLinear(weights.data(), nullptr, out, in, type);
  return PackInt8(Quantize("weights", weights, out, in, {}), {});
}

// The number of things of `bytes` each that together fill cold memory.
int64_t ColdCopies(int64_t bytes) { return (kColdBytes + bytes - 1) / bytes; }

// The layers of one shape, as many as make their weights cold. Kept from one number of rows to the
// next, for packing takes longer than multiplying.
class ColdLinears {
 public:
  const std::vector<PackedLinear>& Get(const GemmShape& shape, NumberType type) {
    const std::string key = fmt::format("{} {} {}", shape.out, shape.in, NumberTypeName(type));
    if (key == key_) return linears_;
    linears_.clear();
    key_ = key;
    const int64_t copies = ColdCopies(shape.out * shape.in * NumberBytes(type));
    for (int64_t i = 0; i < copies; ++i) {
      linears_.push_back(MakeLinear(type, shape.out, shape.in, static_cast<uint64_t>(i)));
    }
    return linears_;
  }

 private:
  std::string key_;
  std::vector<PackedLinear> linears_;
};

// Adds the rates of `operations` and `bytes` an iteration.
void Report(double operations, double bytes, double peak_gops, const MachineSpeed& machine,
            benchmark::State* state) {
  const auto rate = [](double value) {
    return benchmark::Counter(value, benchmark::Counter::kIsIterationInvariantRate);
  };
  state->counters["GOP/s"] = rate(operations * 1e-9);
  state->counters["peak_share"] = rate(operations * 1e-9 / peak_gops);
  state->counters["GB/s"] = rate(bytes * 1e-9);
  state->counters["bandwidth_share"] = rate(bytes * 1e-9 / machine.memory_gbps);
}

void RunGemm(const GemmShape& shape, NumberType type, int64_t rows, const MachineSpeed& machine,
             ColdLinears* cold, benchmark::State* state) {
  const std::vector<PackedLinear>& linears = cold->Get(shape, type);
  const std::vector<float> x = RandomValues(rows * shape.in, 1);
  std::vector<float> y(static_cast<size_t>(rows * shape.out));
  size_t next = 0;
  for ([[maybe_unused]] auto iteration : *state) {
    linears[next].Apply(x.data(), rows, Epilogue::kStore, y.data());
    next = (next + 1) % linears.size();
  }
  const double weights = static_cast<double>(shape.out * shape.in);
  Report(2 * weights * static_cast<double>(rows), weights * static_cast<double>(NumberBytes(type)),
         machine.Peak(type), machine, state);
}

// One layer's cache for sequences of `context` positions each, full of values.
class FullCache {
 public:
  FullCache(const KvShape& shape, int64_t sequences, int64_t context)
      : pages_per_sequence_((context + kPageSize - 1) / kPageSize),
        cache_(shape, sequences * pages_per_sequence_, kPageSize),
        pages_(static_cast<size_t>(sequences * pages_per_sequence_)) {
    std::iota(pages_.begin(), pages_.end(), 0);
    for (int64_t i = 0; i < sequences; ++i) {
      rows_.push_back(
          {pages_.data() + i * pages_per_sequence_, context - 1, context - 1, nullptr, false});
    }
    Fill(shape, context);
  }

  const KvPages& layer() const { return cache_.Layer(0); }
  const std::vector<AttentionRow>& rows() const { return rows_; }

 private:
  static constexpr int64_t kPageSize = 16;

  void Fill(const KvShape& shape, int64_t context) {
    std::vector<AttentionRow> positions = rows_;
    const std::vector<float> kv =
        RandomValues(static_cast<int64_t>(rows_.size()) * 2 * shape.num_heads * shape.head_size, 1);
    for (int64_t position = 0; position < context; ++position) {
      for (AttentionRow& row : positions) row.position = position;
      StoreKeysAndValues(layer(), positions.data(), static_cast<int64_t>(positions.size()),
                         kv.data());
    }
  }

  int64_t pages_per_sequence_;
  KvCache cache_;
  std::vector<int32_t> pages_;
  std::vector<AttentionRow> rows_;  // of the last positions
};

void RunAttention(const Width& width, NumberType type, int64_t context, const MachineSpeed& machine,
                  benchmark::State* state) {
  const KvShape shape = {1, width.heads, width.hidden / width.heads, type};
  int64_t position_bytes = 2 * width.hidden * NumberBytes(type);
  if (type == NumberType::kInt8) position_bytes += 2 * width.heads * NumberBytes(NumberType::kF32);
  const int64_t sequences = ColdCopies(context * position_bytes);
  const FullCache cache(shape, sequences, context);
  const std::vector<float> queries = RandomValues(sequences * width.hidden, 2);
  std::vector<float> out(queries.size());
  const AttentionRule rule = ScaledAttention(shape.head_size);
  AttentionRule dense = rule;
  dense.query_stride = shape.head_size;  // queries alone, without keys and values between them
  for ([[maybe_unused]] auto iteration : *state) {
    Attend(cache.layer(), dense, cache.rows().data(), sequences, queries.data(), out.data());
  }
  const double positions = static_cast<double>(sequences * context);
  Report(4 * positions * static_cast<double>(width.hidden),
         positions * static_cast<double>(position_bytes), machine.f32_gflops, machine, state);
  state->counters["sequences"] = static_cast<double>(sequences);
}

void Register(const std::string& name, const std::function<void(benchmark::State&)>& run,
              double min_seconds) {
  benchmark::RegisterBenchmark(name.c_str(), run)
      ->UseRealTime()
      ->MinTime(min_seconds)
      ->Unit(benchmark::kMicrosecond);
}

void RegisterAll(const KernelBenchOptions& options, const MachineSpeed& machine) {
  const auto cold = std::make_shared<ColdLinears>();
  const auto linears = [&](const Width& width, const GemmShape& shape, NumberType type) {
    for (const int64_t rows : kRows) {
      Register(
          fmt::format("gemm/{}/{}/{}/M:{}", width.models, shape.name, NumberTypeName(type), rows),
          [=](benchmark::State& state) { RunGemm(shape, type, rows, machine, cold.get(), &state); },
          options.min_seconds);
    }
  };
  for (const Width& width : kWidths) {
    for (const GemmShape& shape : ShapesOf(width.hidden)) {
      for (const NumberType type : options.types) linears(width, shape, type);
    }
    for (const NumberType type : options.kv_types) {
      for (const int64_t context : kContexts) {
        Register(
            fmt::format("attention/{}/{}/context:{}", width.models, NumberTypeName(type), context),
            [=](benchmark::State& state) { RunAttention(width, type, context, machine, &state); },
            options.min_seconds);
      }
    }
  }
}

void CheckFilter(const std::string& filter) {
  try {
    const std::regex pattern(filter, std::regex::extended);
  } catch (const std::regex_error&) {
    Fail(ErrorCode::kInvalidArgument, "--filter: \"{}\" is not a regular expression", filter);
  }
}

// Google Benchmark takes its options as a program's arguments only.
void Initialize(const KernelBenchOptions& options) {
  std::vector<std::string> arguments = {"blockformer"};
  if (!options.filter.empty()) arguments.push_back("--benchmark_filter=" + options.filter);
  if (options.json == "-") {
    arguments.push_back("--benchmark_format=json");
  } else if (!options.json.empty()) {
    arguments.push_back("--benchmark_out=" + options.json);
    arguments.push_back("--benchmark_out_format=json");
  }
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  int count = static_cast<int>(argv.size());
  benchmark::Initialize(&count, argv.data());
}

}  // namespace

void RunKernelBench(const KernelBenchOptions& options) {
  CheckFilter(options.filter);
  const MachineSpeed machine = MeasureMachine();
  benchmark::AddCustomContext("commit", kBuildCommit);
  benchmark::AddCustomContext("compiler", fmt::format("{} {}", kBuildCompiler, kBuildFlags));
  benchmark::AddCustomContext("f32_gflops", fmt::format("{:.1f}", machine.f32_gflops));
  benchmark::AddCustomContext("int8_gops", fmt::format("{:.1f}", machine.int8_gops));
  benchmark::AddCustomContext("memory_gbps", fmt::format("{:.2f}", machine.memory_gbps));
  Initialize(options);
  RegisterAll(options, machine);
  const size_t count = benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  Require(count > 0, ErrorCode::kInvalidArgument, "--filter: \"{}\" is in no benchmark's name",
          options.filter);
}

}  // namespace blockformer
