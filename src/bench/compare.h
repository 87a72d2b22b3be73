#ifndef BLOCKFORMER_BENCH_COMPARE_H_
#define BLOCKFORMER_BENCH_COMPARE_H_

#include <string>

#include "config/json.h"

namespace blockformer {

// Compares two files that `blockformer bench throughput --json` wrote. Results are matched by
// model, dtype, kv_dtype, batch, prompt and generate: "results" has, for each match, those fields,
// the total tokens/s "a" and "b", their "ratio" b/a, the larger "spread", and whether the
// difference "exceeds_spread"; "only_in_a" and "only_in_b" name the others. Throws Error that names
// the file and the field that is wrong, and if nothing matches.
OrderedJson CompareReports(const std::string& path_a, const std::string& path_b);

// Of CompareReports()' result, for people.
std::string ComparisonTable(const OrderedJson& comparison);

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_COMPARE_H_
