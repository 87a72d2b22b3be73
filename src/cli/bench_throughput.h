#ifndef BLOCKFORMER_CLI_BENCH_THROUGHPUT_H_
#define BLOCKFORMER_CLI_BENCH_THROUGHPUT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/model.h"

namespace blockformer {

// The paper's protocol: `batch` random prompts of `prompt` tokens, each continued greedily by
// `generate` tokens; the end of text ends nothing; reading the prompts lies in the timed region.
struct ThroughputSetting {
  int64_t batch = 1;
  int64_t prompt = 0;
  int64_t generate = 0;
};

// Times of one run, in seconds.
struct ThroughputRun {
  double prefill = 0;  // until every sequence has its first tokens
  double total = 0;
};

// Carries out one run on a fresh engine, whose construction is not timed.
ThroughputRun RunThroughput(std::shared_ptr<const Model> model, const ThroughputSetting& setting);

// Useful floating-point operations of one run: those of the positions that the algorithm needs.
double UsefulFlops(const ModelConfig& config, const ThroughputSetting& setting);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_BENCH_THROUGHPUT_H_
