#ifndef BLOCKFORMER_CLI_BENCH_FLAGS_H_
#define BLOCKFORMER_CLI_BENCH_FLAGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/number_type.h"

namespace blockformer {

// All throw Error(kInvalidArgument) that names the flag, the value and what would be right.

// Batch sizes, or "auto" alone for an empty list. None may stand twice.
std::vector<int64_t> ParseBatches(const std::vector<std::string>& texts);

// The type of each of `models` models' KV caches, from one for all or one for each.
std::vector<NumberType> ParseKvTypes(const std::vector<std::string>& texts, size_t models);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_BENCH_FLAGS_H_
