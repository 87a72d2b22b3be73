#ifndef BLOCKFORMER_BENCH_BATCH_SEARCH_H_
#define BLOCKFORMER_BENCH_BATCH_SEARCH_H_

#include <cstdint>
#include <functional>

#include "bench/throughput.h"

namespace blockformer {

inline constexpr int64_t kMaxBatch = 1 << 14;

// The largest batch whose KV cache, logits and weights take at most `memory_bytes`. Throws
// Error(kExhausted) that names --memory if that is less than one sequence takes.
int64_t LargestBatch(const Contestant& contestant, const ThroughputSetting& setting,
                     int64_t memory_bytes);

// The batch size, up to `largest`, of the highest rate, where `rate` measures one in tokens a
// second: sizes are doubled until that no longer helps, then the best one's neighbours are tried.
// Measures no size twice.
int64_t FindBestBatch(int64_t largest, const std::function<double(int64_t batch)>& rate);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_BATCH_SEARCH_H_
