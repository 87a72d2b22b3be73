#ifndef BLOCKFORMER_BENCH_PRECISION_H_
#define BLOCKFORMER_BENCH_PRECISION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/number_type.h"
#include "base/work_observer.h"
#include "config/json.h"

namespace blockformer {

struct PrecisionOptions {
  std::vector<NumberType> types;  // of the linear layers' weights, at least one
  int64_t samples = 64;           // at most, of the model's context each
  int64_t outliers = 0;           // channels of WithOutliers(), bench/outliers.h
};

// What the precision of weights costs: the loss of the model in `directory` in each type, over
// samples of the token file `data`, packed and chosen as the trainer's validation does. "results"
// has, for each type, the "loss" in nats a token, the "perplexity", its "perplexity_change" against
// that of the first type, and "weight_bytes". The model is held once, and one sample at a time.
// Throws Error that names the flag or file and the value that is wrong: a directory of int8 weights
// can only be measured in int8 and without outliers.
OrderedJson MeasurePrecision(const std::string& directory, const std::string& data,
                             const PrecisionOptions& options, WorkObserver* observer);

// Of MeasurePrecision()'s result, for people.
std::string PrecisionTable(const OrderedJson& report);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_PRECISION_H_
