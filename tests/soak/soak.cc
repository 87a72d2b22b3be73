// Runs the engine for a given time under random requests, which come, are cancelled and give up
// between steps, on a cache that is too small for them.
//
//   soak SECONDS [SEED]
//
// There is one engine for each kind of model and type of KV cache; a round gives one of them 60
// requests. What each request generates is compared with a run alone: int8 weights promise the same
// to the last bit. After a round no page of the cache may be in use, and once every engine has had
// its turn a few times, the memory of the process may not grow. All that is random follows from the
// seed, which is printed; the time only decides how many rounds there are, at least one of each
// engine. The exit code is 1 after the first difference.

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "engine/engine.h"
#include "tests/cpu/tiny_model.h"

namespace blockformer {
namespace {

constexpr int64_t kUnits = 90;  // of the longest sequence
constexpr int64_t kRequests = 60;
constexpr int64_t kWarmUpTurns = 3;               // of each engine
constexpr int64_t kMemoryTolerance = 24LL << 20;  // bytes

using Tokens = std::vector<int32_t>;

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0;
  int64_t resident = 0;
  file >> total >> resident;
  Require(resident > 0, ErrorCode::kIo, "/proc/self/statm cannot be read");
  return resident * sysconf(_SC_PAGESIZE);
}

// What happens to a request, beside being answered.
struct Fate {
  GenerationRequest request;
  int64_t arrival = 0;       // step
  int64_t cancellation = 0;  // step; 0 for none
  int64_t max_calls = 0;     // after which its callback has had enough; 0 for none
};

struct Outcome {
  int64_t id = -1;
  Tokens tokens;
  int64_t calls = 0;
  bool finished = false;
  bool closed = false;  // no further call may come
};

class Soak {
 public:
  Soak(std::string name, const std::shared_ptr<const Model>& model, NumberType kv_type)
      : name_(std::move(name)), model_(model) {
    options_.max_sequences = 1;
    options_.kv_type = kv_type;
    options_.share_prefixes = false;
    options_.memory_bytes = Engine(model_, options_).options().memory_bytes;
    EngineOptions options = options_;
    options.max_sequences = 7;
    options.share_prefixes = true;
    options.memory_bytes = options_.memory_bytes * 3 / 2;
    options.max_prefill_tokens = 40;
    engine_ = std::make_unique<Engine>(model_, options);
  }

  const std::string& name() const { return name_; }
  EngineStats stats() const { return engine_->stats(); }

  // Throws Error(kInternal) for the first request whose tokens differ from those of a run alone.
  void Round(Random* random) {
    fates_.clear();
    outcomes_.assign(kRequests, {});
    for (int64_t i = 0; i < kRequests; ++i) fates_.push_back(MakeFate(random));
    RunTogether();
    Require(engine_->stats().pages_in_use == 0, ErrorCode::kInternal,
            "{}: {} pages are in use after the last request", name_, engine_->stats().pages_in_use);
    for (size_t i = 0; i < fates_.size(); ++i) Compare(i);
  }

 private:
  int64_t Length() const { return model_->unit_length(); }

  Tokens RandomTokens(int64_t count, Random* random) const {
    const auto vocabulary = static_cast<uint64_t>(model_->config().vocab_size);
    Tokens tokens;
    for (int64_t i = 0; i < count; ++i) {
      tokens.push_back(static_cast<int32_t>(random->Below(vocabulary)));
    }
    return tokens;
  }

  // Two thirds begin like others, so that pages are shared.
  Tokens MakePrompt(Random* random) const {
    Tokens prompt = RandomTokens(
        static_cast<int64_t>(random->Below(static_cast<uint64_t>(12 * Length()))), random);
    if (random->Below(3) == 0) return prompt;
    Random beginning(random->Below(4));
    const Tokens shared = RandomTokens(40 * Length(), &beginning);
    const auto length = static_cast<ptrdiff_t>(random->Below(shared.size()));
    prompt.insert(prompt.begin(), shared.begin(), shared.begin() + length);
    return prompt;
  }

  static SamplingOptions MakeSampling(Random* random) {
    SamplingOptions sampling;
    sampling.seed = random->Below(1000);
    sampling.temperature = random->Below(3) == 0 ? 0.0 : 0.9;
    switch (random->Below(5)) {
      case 0:
        sampling.top_k = 7;
        break;
      case 1:
        sampling.top_p = 0.8;
        break;
      case 2:
        sampling.min_p = 0.1;
        break;
      case 3:
        sampling.repetition_penalty = 1.3;
        break;
      default:
        break;
    }
    return sampling;
  }

  Fate MakeFate(Random* random) const {
    const auto below = [random](int64_t bound) {
      return static_cast<int64_t>(random->Below(static_cast<uint64_t>(bound)));
    };
    Fate fate;
    fate.arrival = below(kRequests);
    if (below(5) == 0) fate.cancellation = fate.arrival + 1 + below(20);
    if (below(6) == 0) fate.max_calls = 1 + below(8);
    GenerationRequest& request = fate.request;
    request.prompt = MakePrompt(random);
    if (below(8) == 0 && !request.prompt.empty()) {
      request.prompt_mask.assign(request.prompt.size(), 1);
      std::fill_n(request.prompt_mask.begin(), request.prompt.size() / 3, 0);
    }
    request.max_tokens = 1 + below((below(4) == 0 ? 35 : 8) * Length());
    request.stop_at_eos = below(2) == 0;
    request.sampling = MakeSampling(random);
    request.stream = random->Below(1000);
    request.priority = static_cast<int32_t>(below(3)) - 1;
    return fate;
  }

  void Submit(size_t i) {
    Outcome& outcome = outcomes_[i];
    const int64_t max_calls = fates_[i].max_calls;
    outcome.id =
        engine_->Submit(fates_[i].request, [&outcome, max_calls](const GeneratedTokens& tokens) {
          Require(!outcome.closed, ErrorCode::kInternal, "a call came after the last one");
          outcome.tokens.insert(outcome.tokens.end(), tokens.ids.begin(), tokens.ids.end());
          outcome.finished = tokens.finished;
          outcome.closed = tokens.finished || ++outcome.calls == max_calls;
          return !outcome.closed;
        });
  }

  void RunTogether() {
    bool worked = true;
    for (int64_t step = 0; worked || step < kRequests; ++step) {
      for (size_t i = 0; i < fates_.size(); ++i) {
        if (fates_[i].arrival == step) Submit(i);
        if (fates_[i].cancellation == step && step > 0 && !outcomes_[i].closed) {
          outcomes_[i].closed = true;
          engine_->Cancel(outcomes_[i].id);
        }
      }
      worked = engine_->Step();
    }
  }

  void Compare(size_t i) const {
    const Outcome& outcome = outcomes_[i];
    Require(outcome.closed, ErrorCode::kInternal, "{}: request {} was never ended", name_, i);
    Engine alone(model_, options_);
    Tokens expected = GenerateAll(&alone, {fates_[i].request})[0];
    // Those that were given up have the beginning.
    if (!outcome.finished) expected.resize(std::min(expected.size(), outcome.tokens.size()));
    Require(outcome.tokens == expected, ErrorCode::kInternal,
            "{}: the {} tokens of request {} are not those that it generates alone", name_,
            outcome.tokens.size(), i);
  }

  std::string name_;
  std::shared_ptr<const Model> model_;
  EngineOptions options_;  // of the runs alone
  std::unique_ptr<Engine> engine_;
  std::vector<Fate> fates_;
  std::vector<Outcome> outcomes_;
};

std::vector<Soak> MakeSoaks() {
  constexpr NumberType kKvTypes[] = {NumberType::kF32, NumberType::kF16, NumberType::kInt8};
  constexpr const char* kKvNames[] = {"f32", "f16", "int8"};
  std::vector<Soak> soaks;
  for (auto& [kind, config] : TinyConfigs()) {
    ModelConfig longer = config;
    longer.max_length = kUnits * config.UnitLength();
    const auto model = MakeTinyModel(longer, NumberType::kInt8);
    const size_t type = soaks.size() % std::size(kKvTypes);
    soaks.emplace_back(kind + ", KV cache in " + kKvNames[type], model, kKvTypes[type]);
  }
  return soaks;
}

void Run(int64_t seconds, uint64_t seed) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  std::vector<Soak> soaks = MakeSoaks();
  Random random(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  int64_t turns = 0;
  int64_t memory = 0;  // after warming up
  while (turns == 0 || std::chrono::steady_clock::now() < end) {
    for (Soak& soak : soaks) soak.Round(&random);
    if (++turns < kWarmUpTurns) continue;
    const int64_t now = ResidentBytes();
    if (memory == 0) memory = now;
    Require(now <= memory + kMemoryTolerance, ErrorCode::kInternal,
            "the process grew from {} to {} bytes in {} turns", memory, now, turns);
  }
  for (const Soak& soak : soaks) {
    const EngineStats stats = soak.stats();
    std::printf("%s: %lld steps, %lld preemptions, %lld prompt units from the cache\n",
                soak.name().c_str(), static_cast<long long>(stats.steps),
                static_cast<long long>(stats.preemptions),
                static_cast<long long>(stats.cached_prompt_units));
    Require(stats.preemptions > 0 && stats.cached_prompt_units > 0, ErrorCode::kInternal,
            "{}: nothing was preempted, or nothing shared", soak.name());
  }
  std::printf("%lld requests as alone; memory %lld MiB after warming up, %lld MiB at the end\n",
              static_cast<long long>(turns * kRequests * static_cast<int64_t>(soaks.size())),
              static_cast<long long>(memory >> 20), static_cast<long long>(ResidentBytes() >> 20));
}

template <typename Number>
std::optional<Number> ParseNumber(const char* text) {
  Number number = 0;
  const char* end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, number);
  if (error != std::errc() || rest != end) return std::nullopt;
  return number;
}

}  // namespace
}  // namespace blockformer

int main(int argc, char** argv) {
  using namespace blockformer;  // NOLINT(google-build-using-namespace): this is all the file is for
  const auto seconds = ParseNumber<uint32_t>(argc >= 2 ? argv[1] : "");
  const auto seed =
      argc == 3 ? ParseNumber<uint64_t>(argv[2]) : std::optional<uint64_t>(std::random_device()());
  if (!seconds || !seed || argc > 3) {
    std::fprintf(stderr, "usage: soak SECONDS [SEED]\n");
    return 2;
  }
  try {
    Run(*seconds, *seed);
  } catch (const Error& error) {
    std::fprintf(stderr, "soak: %s\n", error.what());
    return 1;
  }
  return 0;
}
