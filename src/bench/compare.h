#ifndef BLOCKFORMER_BENCH_COMPARE_H_
#define BLOCKFORMER_BENCH_COMPARE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "config/json.h"

namespace blockformer {

// What results of two files are matched by.
struct ThroughputKey {
  bool operator==(const ThroughputKey&) const = default;

  std::string model;
  std::string dtype;
  std::string kv_dtype;
  int64_t batch = 0;
  int64_t prompt = 0;
  int64_t generate = 0;
};

// Total tokens a second of the same setting in two files, a and b.
struct RateComparison {
  ThroughputKey key;
  double a = 0;
  double b = 0;
  double ratio = 0;   // b / a
  double spread = 0;  // the larger one
  bool exceeds_spread = false;
};

struct ThroughputComparison {
  std::string a;  // paths
  std::string b;
  std::vector<RateComparison> results;  // at least one
  std::vector<ThroughputKey> only_in_a;
  std::vector<ThroughputKey> only_in_b;
};

// Compares two files that `blockformer bench throughput --json` wrote. Throws Error that names the
// file and the field that is wrong, and if nothing matches.
ThroughputComparison CompareThroughput(const std::string& path_a, const std::string& path_b);

// "results" has the key's fields and the others in one object.
OrderedJson ThroughputComparisonJson(const ThroughputComparison& comparison);

// For people.
std::string ThroughputComparisonTable(const ThroughputComparison& comparison);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_COMPARE_H_
