#ifndef BLOCKFORMER_EVAL_POSITION_REPORT_H_
#define BLOCKFORMER_EVAL_POSITION_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/json.h"
#include "eval/position_loss.h"

namespace blockformer {

struct LossEstimate {
  double value = 0;                      // nats a token
  std::optional<double> standard_error;  // none for fewer than two clusters
};

// A mean over tokens.
struct MeanLoss {
  int64_t tokens = 0;
  std::optional<LossEstimate> loss;        // none without tokens
  std::optional<LossEstimate> difference;  // from the first model's, text by text
};

struct BinLoss {
  int64_t first = 0;  // positions
  int64_t last = 0;
  MeanLoss mean;
};

// What a model lost by position. Windows of one document depend on each other, so standard errors
// take documents as clusters: of sums s_d over n_d tokens, with the mean m = sum s / sum n, the
// variance is D / (D - 1) * sum (s_d - m n_d)^2 / (sum n)^2 (Cochran, Sampling Techniques, on
// ratios). Of a single document the windows are the clusters, which says nothing about other
// documents. A model that read the same windows as the first one is compared with it text by text:
// where both scored the same tokens, it and its bins have a difference, with the standard error of
// (s_d - m n_d) of the two models subtracted.
struct PositionLossResult {
  const char* ClusterName() const { return documents > 1 ? "documents" : "windows"; }
  int64_t NumClusters() const { return documents > 1 ? documents : windows; }

  std::string model;
  int64_t context = 0;
  int64_t documents = 0;
  int64_t windows = 0;
  bool same_windows = false;  // as the first model, which itself has false
  MeanLoss all;
  std::vector<BinLoss> bins;
  std::vector<MeanLoss> block_positions;  // without differences; none for a vanilla model
};

// An entry for each of several models that were measured with the same options.
std::vector<PositionLossResult> PositionLossResults(const std::vector<PositionLoss>& losses);

// A list with an entry for each model:
//   {"model", "context", "documents", "windows", "clusters": "documents" or "windows",
//    "same_windows", "loss", "standard_error", "tokens",
//    "bins": [{"first", "last", "loss", "standard_error", "tokens"}],
//    "block_positions": [{"position", "loss", "standard_error", "tokens"}]}
// with null for what there is none of; where there is a difference, "difference" and
// "difference_standard_error" too.
OrderedJson PositionLossJson(const std::vector<PositionLossResult>& results);

// Half of the 95 % interval, in standard errors: Student's t with clusters - 1 degrees of freedom,
// for at least 2 clusters.
double IntervalFactor(int64_t clusters);

// A row for each bin with all models side by side, then a row for each position in the block.
std::string PositionLossTable(const std::vector<PositionLossResult>& results);

// A gnuplot script that draws into `output`, .svg or .png: the losses by position, and by position
// in the block if there is a block model, with their 95 % intervals.
std::string PositionLossPlotScript(const std::vector<PositionLossResult>& results,
                                   const std::string& output);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_POSITION_REPORT_H_
