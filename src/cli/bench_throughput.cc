#include "cli/bench_throughput.h"

#include <chrono>

#include "base/random.h"
#include "config/parameters.h"
#include "engine/engine.h"

namespace blockformer {
namespace {

constexpr uint64_t kPromptSeed = 1;

}  // namespace

ThroughputRun RunThroughput(std::shared_ptr<const Model> model, const ThroughputSetting& setting) {
  EngineOptions options;
  options.max_sequences = setting.batch;
  options.max_length = setting.prompt + setting.generate;
  const uint64_t vocab = static_cast<uint64_t>(model->config().vocab_size);
  Engine engine(std::move(model), options);
  Random random(kPromptSeed);
  using Clock = std::chrono::steady_clock;
  int64_t started = 0;
  int64_t made = 0;
  int64_t made_in_prefill = 0;
  Clock::time_point all_started;
  const Clock::time_point begin = Clock::now();
  for (int64_t i = 0; i < setting.batch; ++i) {
    GenerationRequest request;
    for (int64_t t = 0; t < setting.prompt; ++t) {
      request.prompt.push_back(static_cast<int32_t>(random.Below(vocab)));
    }
    request.max_tokens = setting.generate;
    request.stop_at_eos = false;
    engine.Submit(std::move(request),
                  [&, first = true](std::span<const int32_t> tokens, bool) mutable {
                    made += static_cast<int64_t>(tokens.size());
                    if (first && ++started == setting.batch) {
                      all_started = Clock::now();
                      made_in_prefill = made;
                    }
                    first = false;
                    return true;
                  });
  }
  engine.Run();
  const auto seconds = [begin](Clock::time_point end) {
    return std::chrono::duration<double>(end - begin).count();
  };
  return {seconds(all_started), seconds(Clock::now()), made_in_prefill};
}

double UsefulFlops(const ModelConfig& config, const ThroughputSetting& setting) {
  const double decode = static_cast<double>(setting.generate) *
                        DecodeMultiplyAddsPerToken(config, setting.prompt + setting.generate / 2);
  return 2 * static_cast<double>(setting.batch) *
         (PrefillMultiplyAdds(config, setting.prompt) + decode);
}

}  // namespace blockformer
