#include "bench/batch_search.h"

#include <algorithm>
#include <map>

#include "base/error.h"

namespace blockformer {
namespace {

// Less than this is noise, and no reason to go on.
constexpr double kGain = 1.02;
// Doublings in turn that may fail to help: one may fall on a slow moment.
constexpr int kPatience = 2;

}  // namespace

int64_t LargestBatch(const Contestant& contestant, const ThroughputSetting& setting,
                     int64_t memory_bytes) {
  const ModelConfig& config = contestant.model->config();
  const NumberTypes types = contestant.types();
  const double weights = WeightBytes(config, types.weights);
  const double logits = static_cast<double>(config.vocab_size * NumberBytes(NumberType::kF32));
  const double sequence = KvBytesPerSequence(config, types.kv, setting.length()) + logits;
  const double fitting = (static_cast<double>(memory_bytes) - weights) / sequence;
  Require(
      fitting >= 1, ErrorCode::kExhausted,
      "`memory`: {:.0f} MB do not hold {}, which takes {:.0f} MB and {:.0f} MB a sequence of {} "
      "tokens",
      static_cast<double>(memory_bytes) * 1e-6, contestant.name, weights * 1e-6, sequence * 1e-6,
      setting.length());
  return static_cast<int64_t>(std::min(fitting, static_cast<double>(kMaxBatch)));
}

int64_t FindBestBatch(int64_t largest, const std::function<double(int64_t batch)>& rate) {
  std::map<int64_t, double> rates;
  int64_t best = 1;
  const auto try_batch = [&](int64_t batch) {
    if (batch < 1 || batch > largest || rates.contains(batch)) return false;
    rates[batch] = rate(batch);
    if (batch == 1 || rates[batch] < kGain * rates[best]) return false;
    best = batch;
    return true;
  };
  try_batch(1);
  int failures = 0;
  for (int64_t batch = 2; batch / 2 < largest && failures < kPatience; batch *= 2) {
    failures = try_batch(std::min(batch, largest)) ? 0 : failures + 1;
  }
  const int64_t centre = best;
  try_batch(centre * 3 / 4);
  try_batch(centre * 3 / 2);
  return best;
}

}  // namespace blockformer
