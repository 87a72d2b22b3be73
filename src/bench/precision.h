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

struct PrecisionResult {
  NumberType type = NumberType::kF32;
  double loss = 0;  // nats a token
  double perplexity = 0;
  double perplexity_change = 0;  // against that of the first type, as a share of it
  int64_t weight_bytes = 0;
};

struct PrecisionReport {
  std::string model;  // directory
  std::string data;   // prefix of the token file
  int64_t samples = 0;
  int64_t sample_length = 0;
  int64_t predicted_tokens = 0;
  int64_t outliers = 0;
  std::vector<PrecisionResult> results;  // of each type
};

// What the precision of weights costs: the loss of the model in `directory` in each type, over
// samples of the token file `data`, chosen as ValidationSamples does. The model
// is held once, and one sample at a time. Throws Error that names the flag or file and the value
// that is wrong: a directory of int8 weights can only be measured in int8 and without outliers.
PrecisionReport MeasurePrecision(const std::string& directory, const std::string& data,
                                 const PrecisionOptions& options, WorkObserver* observer);

OrderedJson PrecisionJson(const PrecisionReport& report);

// For people.
std::string PrecisionTable(const PrecisionReport& report);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_PRECISION_H_
