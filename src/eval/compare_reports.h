#ifndef BLOCKFORMER_EVAL_COMPARE_REPORTS_H_
#define BLOCKFORMER_EVAL_COMPARE_REPORTS_H_

#include <string>

#include "config/json.h"

namespace blockformer {

// Compares two reports of MakeEvalReport(), item by item: for each metric of each task that both
// have, "a", "b", their "difference" b - a with its paired "standard_error", and "p_value",
// two-sided: how likely a difference as large is if the models are equally good; null for fewer
// than 2 items. Accuracies: the exact test of McNemar on the items that one model alone gets right.
// Perplexities: the difference is that of the mean log-likelihoods, in nats an item, word or byte,
// and the p-value a z-test's; of bits_per_byte it is in bits. A metric that is null in a report is
// left out. Throws Error(kCorrupt) that opens with a source for what is no such
// report, Error(kInvalidArgument) if a task was run on other records, or no task is in both.
OrderedJson CompareReports(const Json& a, const std::string& source_a, const Json& b,
                           const std::string& source_b);

// For people.
std::string ReportComparisonTable(const OrderedJson& comparison);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_COMPARE_REPORTS_H_
