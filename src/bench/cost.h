#ifndef BLOCKFORMER_BENCH_COST_H_
#define BLOCKFORMER_BENCH_COST_H_

#include <cstdint>

#include "base/number_type.h"
#include "bench/machine_speed.h"
#include "config/model_config.h"

namespace blockformer {

// The paper's protocol: `batch` random prompts of `prompt` tokens, each continued greedily by
// `generate` tokens; the end of text ends nothing; reading the prompts lies in the timed region.
struct ThroughputSetting {
  int64_t batch = 1;
  int64_t prompt = 0;
  int64_t generate = 0;

  int64_t length() const { return prompt + generate; }
  int64_t mean_context() const { return prompt + generate / 2; }
};

// What a model's numbers are kept as.
struct NumberTypes {
  NumberType weights = NumberType::kF32;
  NumberType kv = NumberType::kF32;
};

// Operations of one run that the algorithm needs; a multiply-add counts two.
double UsefulOperations(const ModelConfig& config, const ThroughputSetting& setting);

// Bytes of keys and values that generating one token reads behind `context` tokens.
double KvBytesReadPerToken(const ModelConfig& config, NumberType kv_type, int64_t context);

// Bytes of weights that generating one unit reads, whatever the batch: those of the decoder once,
// those of the token decoder and its output head once for each of the block's tokens.
double WeightBytesPerUnit(const ModelConfig& config, NumberType type);

// Bytes that a model's weights take. Tables that are only looked up are f32.
double WeightBytes(const ModelConfig& config, NumberType type);

// Bytes of the KV cache that a sequence of `length` tokens takes.
double KvBytesPerSequence(const ModelConfig& config, NumberType kv_type, int64_t length);

// Tokens a second that no decoder can exceed behind `context` tokens, however large its batch: the
// products with weights run at the machine's peak, and keys and values come at its bandwidth
// (a roofline: Williams et al., 2009, with times added up since attention waits for the products).
double DecodeLimit(const ModelConfig& config, const NumberTypes& types, int64_t context,
                   const MachineSpeed& machine);

// The same for a whole run, the products of its prompts included.
double TotalLimit(const ModelConfig& config, const NumberTypes& types,
                  const ThroughputSetting& setting, const MachineSpeed& machine);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_COST_H_
