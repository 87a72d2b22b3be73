#include "bench/kernels.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <memory>
#include <numeric>
#include <regex>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/integer.h"
#include "base/matrix.h"
#include "base/random.h"
#include "bench/build_info.h"
#include "bench/machine_speed.h"
#include "checkpoint/quantize.h"
#include "cpu/kv_cache.h"
#include "cpu/weights.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"

namespace blockformer {
namespace {

// Larger than the caches of most machines: what is read in turn from so much comes from memory.
constexpr int64_t kColdBytes = int64_t{64} << 20;
constexpr int64_t kRows[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512};
constexpr int64_t kContexts[] = {128, 512, 2048, 8192};

// The widths of the models in recipes/: those of their decoders and of their token decoders; and a
// model of Llama's layers, whose heads share keys and values and whose MLP has a gate.
struct Width {
  const char* models;
  int64_t hidden;
  int64_t heads;
  int64_t kv_heads;
  int64_t intermediate;
  bool is_gated = false;
  int64_t vocab_size = 50304;

  int64_t head_size() const { return hidden / heads; }
};
constexpr Width kWidths[] = {
    {"5M", 256, 8, 8, 1024},           {"19M", 512, 8, 8, 2048},
    {"85M", 768, 12, 12, 3072},        {"302M", 1024, 16, 16, 4096},
    {"805M,1.2B", 2048, 16, 16, 8192}, {"SmolLM2-135M", 576, 9, 3, 1536, true, 49152}};

struct GemmShape {
  const char* name;
  int64_t out;
  int64_t in;
};

std::vector<GemmShape> ShapesOf(const Width& width) {
  const int64_t hidden = width.hidden;
  const int64_t inner = width.intermediate;
  return {{"qkv", hidden + 2 * width.kv_heads * width.head_size(), hidden},
          {"dense", hidden, hidden},
          {"up", width.is_gated ? 2 * inner : inner, hidden},
          {"down", hidden, inner},
          {"head", width.vocab_size, hidden},
          {"expansion", 2 * hidden, hidden}};
}

std::vector<float> RandomValues(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.Below(2001)) * 1e-3F - 1;
  return values;
}

PackedLinear MakeLinear(NumberType type, int64_t out, int64_t in, uint64_t seed) {
  const std::vector<float> weights = RandomValues(out * in, seed);
  if (type != NumberType::kInt8) return PackedLinear(weights.data(), nullptr, out, in, type);
  return PackInt8(Quantize("weights", weights, out, in, {}), {});
}

// The number of things of `bytes` each that together fill cold memory.
int64_t ColdCopies(int64_t bytes) { return DivideUp(kColdBytes, bytes); }

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

// Runs `work` as often as Google Benchmark wants, and reports the rates of its operations and
// bytes.
void Measure(double operations, double bytes, double peak_gops, const MachineSpeed& machine,
             const std::function<void()>& work, benchmark::State* state) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  for ([[maybe_unused]] auto iteration : *state) work();
  const double nanoseconds =
      std::chrono::duration<double, std::nano>(Clock::now() - begin).count() /
      static_cast<double>(state->iterations());
  state->counters["GOP/s"] = operations / nanoseconds;
  state->counters["peak_share"] = operations / nanoseconds / peak_gops;
  state->counters["GB/s"] = bytes / nanoseconds;
  state->counters["bandwidth_share"] = bytes / nanoseconds / machine.memory_gbps;
}

void RunGemm(const GemmShape& shape, NumberType type, int64_t rows, const MachineSpeed& machine,
             ColdLinears* cold, benchmark::State* state) {
  const std::vector<PackedLinear>& linears = cold->Get(shape, type);
  const Matrix<float> x(RandomValues(rows * shape.in, 1), shape.in);
  Matrix<float> y(rows, shape.out);
  const double weights = static_cast<double>(shape.out * shape.in);
  size_t next = 0;
  Measure(
      2 * weights * static_cast<double>(rows), weights * static_cast<double>(NumberBytes(type)),
      machine.Peak(type), machine,
      [&] {
        linears[next].Apply(x, Epilogue::kStore, y);
        next = (next + 1) % linears.size();
      },
      state);
}

// One layer's cache for sequences of `context` positions each, full of values.
class FullCache {
 public:
  FullCache(const KvShape& shape, int64_t sequences, int64_t context)
      : pages_per_sequence_(DivideUp(context, kPageSize)),
        cache_(shape, sequences * pages_per_sequence_, kPageSize),
        pages_(sequences * pages_per_sequence_) {
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
    const HeadLayout layout = HeadLayout::KeysAndValues(shape.kv_heads, shape.head_size);
    std::vector<float> kv = RandomValues(static_cast<int64_t>(rows_.size()) * layout.width, 1);
    for (int64_t position = 0; position < context; ++position) {
      for (AttentionRow& row : positions) row.position = position;
      StoreKeysAndValues(layer(), layout, nullptr, positions.data(),
                         static_cast<int64_t>(positions.size()), kv.data());
    }
  }

  int64_t pages_per_sequence_;
  KvCache cache_;
  std::vector<int32_t> pages_;
  std::vector<AttentionRow> rows_;  // of the last positions
};

void RunAttention(const Width& width, NumberType type, int64_t context, const MachineSpeed& machine,
                  benchmark::State* state) {
  const KvShape shape = {1, width.kv_heads, width.head_size(), type};
  int64_t position_bytes = 2 * shape.kv_heads * shape.head_size * NumberBytes(type);
  if (type == NumberType::kInt8) {
    position_bytes += 2 * shape.kv_heads * NumberBytes(NumberType::kF32);
  }
  const int64_t sequences = ColdCopies(context * position_bytes);
  const FullCache cache(shape, sequences, context);
  const std::vector<float> queries = RandomValues(sequences * width.hidden, 2);
  std::vector<float> out(queries.size());
  const AttentionRule rule =
      ScaledAttention(HeadLayout::Queries(width.heads, shape.kv_heads, shape.head_size));
  const double positions = static_cast<double>(sequences * context);
  state->counters["sequences"] = static_cast<double>(sequences);
  Measure(
      4 * positions * static_cast<double>(width.hidden),
      positions * static_cast<double>(position_bytes), machine.f32_gflops, machine,
      [&] {
        Attend(cache.layer(), rule, cache.rows().data(), sequences, queries.data(), out.data());
      },
      state);
}

struct NamedBenchmark {
  std::string name;
  std::function<void(benchmark::State&)> run;
};

void AddGemms(const Width& width, NumberType type, const MachineSpeed& machine,
              const std::shared_ptr<ColdLinears>& cold, std::vector<NamedBenchmark>* list) {
  for (const GemmShape& shape : ShapesOf(width)) {
    for (const int64_t rows : kRows) {
      list->push_back(
          {fmt::format("gemm/{}/{}/{}/M:{}", width.models, shape.name, NumberTypeName(type), rows),
           [=](benchmark::State& state) {
             RunGemm(shape, type, rows, machine, cold.get(), &state);
           }});
    }
  }
}

void AddAttention(const Width& width, NumberType type, const MachineSpeed& machine,
                  std::vector<NamedBenchmark>* list) {
  for (const int64_t context : kContexts) {
    list->push_back(
        {fmt::format("attention/{}/{}/context:{}", width.models, NumberTypeName(type), context),
         [=](benchmark::State& state) { RunAttention(width, type, context, machine, &state); }});
  }
}

std::vector<NamedBenchmark> ListBenchmarks(const KernelBenchOptions& options,
                                           const MachineSpeed& machine) {
  const auto cold = std::make_shared<ColdLinears>();
  std::vector<NamedBenchmark> list;
  for (const Width& width : kWidths) {
    for (const NumberType type : options.types) AddGemms(width, type, machine, cold, &list);
    for (const NumberType type : options.kv_types) AddAttention(width, type, machine, &list);
  }
  return list;
}

// Leaves those whose names hold `filter`. Google Benchmark's own filter would look at the names
// with which it adorns them, and says nothing of a wrong expression.
void Filter(const std::string& filter, std::vector<NamedBenchmark>* list) {
  try {
    const std::regex pattern(filter);
    std::erase_if(
        *list, [&](const NamedBenchmark& item) { return !std::regex_search(item.name, pattern); });
  } catch (const std::regex_error&) {
    Fail(ErrorCode::kInvalidArgument, "`filter`: \"{}\" is not a regular expression", filter);
  }
  Require(!list->empty(), ErrorCode::kInvalidArgument,
          "`filter`: \"{}\" is in no benchmark's name, such as gemm/85M/qkv/f32/M:32", filter);
}

void AddContext(const MachineSpeed& machine) {
  benchmark::AddCustomContext("commit", kBuildCommit);
  benchmark::AddCustomContext("compiler", fmt::format("{} {}", kBuildCompiler, kBuildFlags));
  benchmark::AddCustomContext("f32_gflops", fmt::format("{:.1f}", machine.f32_gflops));
  benchmark::AddCustomContext("int8_gops", fmt::format("{:.1f}", machine.int8_gops));
  benchmark::AddCustomContext("memory_gbps", fmt::format("{:.2f}", machine.memory_gbps));
}

// Keeps Google Benchmark's JSON, which that would write into a file of its own.
class JsonKeeper : public benchmark::BenchmarkReporter {
 public:
  JsonKeeper() {
    json_.SetOutputStream(&text_);
    json_.SetErrorStream(&text_);
  }
  bool ReportContext(const Context& context) override { return json_.ReportContext(context); }
  void ReportRuns(const std::vector<Run>& runs) override { json_.ReportRuns(runs); }
  void Finalize() override { json_.Finalize(); }

  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  benchmark::JSONReporter json_;
};

// The options that Google Benchmark takes as a program's arguments only.
std::vector<std::string> Arguments(const KernelBenchOptions& options) {
  std::vector<std::string> arguments = {
      "blockformer", fmt::format("--benchmark_min_time={}", options.min_seconds)};
  if (IsStandardOutput(options.json)) {
    arguments.push_back("--benchmark_format=json");
  } else if (!options.json.empty()) {
    arguments.push_back("--benchmark_out=/dev/null");  // it wants one where there is a reporter
  }
  return arguments;
}

void RunBenchmarks(const std::string& json) {
  if (json.empty() || IsStandardOutput(json)) {
    benchmark::RunSpecifiedBenchmarks();
    return;
  }
  JsonKeeper keeper;
  benchmark::RunSpecifiedBenchmarks(nullptr, &keeper);
  WriteFileAtomically(json, keeper.text());
}

}  // namespace

void RunKernelBench(const KernelBenchOptions& options) {
  const MachineSpeed machine = MeasureMachine();
  std::vector<NamedBenchmark> list = ListBenchmarks(options, machine);
  Filter(options.filter, &list);
  std::vector<std::string> arguments = Arguments(options);  // read until the end
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  int count = static_cast<int>(argv.size());
  benchmark::Initialize(&count, argv.data());
  AddContext(machine);
  for (const NamedBenchmark& item : list) {
    benchmark::RegisterBenchmark(item.name.c_str(), item.run)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
  RunBenchmarks(options.json);
  benchmark::Shutdown();
}

}  // namespace blockformer
