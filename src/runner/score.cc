#include "runner/score.h"

#include <algorithm>

namespace blockformer {

std::vector<int64_t> ContextRows(const ScoreStep& step) {
  std::vector<int64_t> rows;
  for (const ScoredUnit& unit : step.units) rows.push_back(unit.row);
  std::ranges::sort(rows);
  const auto repeated = std::ranges::unique(rows);
  rows.erase(repeated.begin(), repeated.end());
  return rows;
}

}  // namespace blockformer
