#ifndef BLOCKFORMER_EVAL_POSITION_REPORT_H_
#define BLOCKFORMER_EVAL_POSITION_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "config/json.h"
#include "eval/position_loss.h"

namespace blockformer {

// What several models, measured with the same options, lost by position, as a list with an entry
// for each:
//   {"model", "context", "documents", "windows", "clusters": "documents" or "windows",
//    "same_windows", "loss", "standard_error", "tokens",
//    "bins": [{"first", "last", "loss", "standard_error", "tokens"}],
//    "block_positions": [{"position", "loss", "standard_error", "tokens"}]}
// Losses are means over tokens, null where there is none. Windows of one document depend on each
// other, so standard errors take documents as clusters: of sums s_d over n_d tokens, with the mean
// m = sum s / sum n, the variance is D / (D - 1) * sum (s_d - m n_d)^2 / (sum n)^2 (Cochran,
// Sampling Techniques, on ratios). Of a single document the windows are the clusters, which says
// nothing about other documents. null for fewer than two clusters.
// A model that read the same windows as the first one ("same_windows", false for that one) is
// compared with it text by text: where both scored the same tokens, it and its bins have
// "difference" and "difference_standard_error", from (s_d - m n_d) of the two models subtracted.
OrderedJson PositionLossResults(const std::vector<PositionLoss>& losses);

// Half of the 95 % interval, in standard errors: Student's t with clusters - 1 degrees of freedom,
// for at least 2 clusters.
double IntervalFactor(int64_t clusters);

// The following take a report with the "results" of the above.

// A row for each bin with all models side by side, then a row for each position in the block.
std::string PositionLossTable(const OrderedJson& report);

// A gnuplot script that draws into `output`, .svg or .png: the losses by position, and by position
// in the block if there is a block model, with their 95 % intervals.
std::string PositionLossPlotScript(const OrderedJson& report, const std::string& output);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_POSITION_REPORT_H_
