#ifndef BLOCKFORMER_BENCH_KERNELS_H_
#define BLOCKFORMER_BENCH_KERNELS_H_

#include <string>
#include <vector>

#include "base/number_type.h"

namespace blockformer {

struct KernelBenchOptions {
  std::vector<NumberType> types = {NumberType::kF32};     // of weights
  std::vector<NumberType> kv_types = {NumberType::kF32};  // of keys and values
  std::string filter;        // regular expression that a benchmark's name must hold; empty: all
  double min_seconds = 0.2;  // each is repeated for at least as long
  std::string json;          // where Google Benchmark's JSON goes; empty: nowhere
};

// Runs Google Benchmark on the matrix products of the paper's models, "gemm/85M/qkv/int8/M:32", and
// on the attention of decoding, "attention/85M/f16/context:2048". Weights, keys and values come
// from memory, not from a cache, as in a model. Each reports operations and bytes a second, and
// their shares of what this machine was measured to reach just before. Prints a table on standard
// output. Throws Error(kInvalidArgument) for a filter that is no regular expression or holds in no
// name.
void RunKernelBench(const KernelBenchOptions& options);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_KERNELS_H_
