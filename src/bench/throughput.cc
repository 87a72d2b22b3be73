#include "bench/throughput.h"

#include <malloc.h>

#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "base/statistics.h"
#include "base/stopwatch.h"
#include "engine/engine.h"

namespace blockformer {
namespace {

constexpr uint64_t kPromptSeed = 1;
constexpr int64_t kTimedUnits = 5;  // at each depth
constexpr size_t kFullRunParts = 16;

// A batch of random prompts in an engine of its own, and when it made which tokens.
class BatchRun {
 public:
  BatchRun(const Contestant& contestant, const ThroughputSetting& setting, bool synthetic)
      : setting_(setting), engine_(contestant.model, OptionsOf(contestant, setting, synthetic)) {}

  void Submit() {
    Random random(kPromptSeed);
    const uint64_t vocab = static_cast<uint64_t>(engine_.model().config().vocab_size);
    for (int64_t i = 0; i < setting_.batch; ++i) {
      GenerationRequest request;
      for (int64_t t = 0; t < setting_.prompt; ++t) {
        request.prompt.push_back(static_cast<int32_t>(random.Below(vocab)));
      }
      request.max_tokens = setting_.generate;
      request.stop_at_eos = false;
      engine_.Submit(std::move(request),
                     [this, first = true](const GeneratedTokens& tokens) mutable {
                       made_ += static_cast<int64_t>(tokens.ids.size());
                       if (first) ++started_;
                       first = false;
                       return true;
                     });
    }
  }

  bool Step() { return engine_.Step(); }
  bool all_started() const { return started_ == setting_.batch; }
  int64_t made() const { return made_; }

 private:
  static EngineOptions OptionsOf(const Contestant& contestant, const ThroughputSetting& setting,
                                 bool synthetic) {
    EngineOptions options;
    options.max_sequences = setting.batch;
    options.max_length = setting.length();
    options.kv_type = contestant.kv_type;
    options.synthetic_prompts = synthetic;
    return options;
  }

  ThroughputSetting setting_;
  Engine engine_;
  int64_t started_ = 0;
  int64_t made_ = 0;
};

// The state of a run behind one step.
struct Moment {
  double seconds = 0;
  int64_t made = 0;  // tokens, by all sequences
};

// The rates of equal parts of the steps behind the first of `moments`.
std::vector<ContextRate> RatesByContext(const std::vector<Moment>& moments,
                                        const ThroughputSetting& setting) {
  std::vector<ContextRate> rates;
  const size_t steps = moments.size() - 1;
  const size_t parts = std::min(steps, kFullRunParts);
  for (size_t part = 0; part < parts; ++part) {
    const Moment& begin = moments[steps * part / parts];
    const Moment& end = moments[steps * (part + 1) / parts];
    const double made = static_cast<double>(begin.made + end.made) / 2;
    rates.push_back(
        {static_cast<double>(setting.prompt) + made / static_cast<double>(setting.batch),
         static_cast<double>(end.made - begin.made) / (end.seconds - begin.seconds)});
  }
  return rates;
}

// The median time of a unit of all sequences at one depth.
double MeasureUnitSeconds(const Contestant& contestant, const DecodeStep& step) {
  const int64_t unit_length = contestant.model->unit_length();
  // Sequences join over a few steps if there are many of them, and none may end before the last
  // unit is timed.
  const int64_t units = kTimedUnits + 2 + step.sequences / 32;
  BatchRun run(contestant, {step.sequences, step.context, units * unit_length}, true);
  run.Submit();
  while (!run.all_started() && run.Step()) {
  }
  std::vector<double> seconds;
  for (int64_t i = 0; i < kTimedUnits; ++i) {
    const Stopwatch watch;
    if (!run.Step()) break;
    seconds.push_back(watch.Seconds());
  }
  Require(!seconds.empty(), ErrorCode::kInternal, "no unit was left to time at a depth of {}",
          step.context);
  return Median(seconds);
}

}  // namespace

ThroughputRun RunFull(const Contestant& contestant, const ThroughputSetting& setting) {
  malloc_trim(0);  // or this run's memory might be that of the one before
  const int64_t resident_before = ResidentBytes();
  BatchRun batch(contestant, setting, false);
  const Stopwatch watch;
  batch.Submit();
  std::vector<Moment> moments;
  while (batch.Step()) {
    if (batch.all_started()) moments.push_back({watch.Seconds(), batch.made()});
  }
  ThroughputRun run;
  run.prefill = moments.front().seconds;
  run.total = moments.back().seconds;
  run.tokens_in_prefill = moments.front().made;
  run.resident_bytes = std::max<int64_t>(ResidentBytes() - resident_before, 0);
  run.by_context = RatesByContext(moments, setting);
  return run;
}

double MeasurePromptSeconds(const Contestant& contestant, const ThroughputSetting& setting) {
  // Short prompts share a chunk, and one chunk alone would say little.
  const int64_t chunk = 2 * EngineOptions().max_prefill_tokens;
  const int64_t unit_length = contestant.model->unit_length();
  ThroughputSetting few = setting;
  few.batch = std::clamp<int64_t>(chunk / setting.prompt, 1, setting.batch);
  few.generate = std::min(setting.generate, unit_length);
  return RunFull(contestant, few).total / static_cast<double>(few.batch);
}

ThroughputRun RunSampled(const Contestant& contestant, const ThroughputSetting& setting,
                         int64_t depths, double prompt_seconds) {
  const int64_t unit_length = contestant.model->unit_length();
  const DecodePlan plan = PlanDecoding(setting, unit_length, EngineOptions().max_prefill_tokens);
  const DecodeTime decode = IntegrateDecoding(
      plan, unit_length, depths,
      [&](const DecodeStep& step) { return MeasureUnitSeconds(contestant, step); });
  const double prompts = static_cast<double>(setting.batch) * prompt_seconds;
  ThroughputRun run;
  run.prefill = prompts + decode.in_prefill;
  run.total = prompts + decode.total;
  run.tokens_in_prefill = plan.tokens_in_prefill;
  run.by_context = decode.by_context;
  return run;
}

}  // namespace blockformer
