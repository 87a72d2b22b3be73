#include "kernels/attention_plan.h"

namespace blockformer {

AttentionPlan::AttentionPlan(const AttentionRow* rows, int64_t num_rows, int64_t queries_per_row,
                             int64_t heads)
    : queries_(rows), heads_(heads) {
  if (queries_per_row > 1) {
    copies_.reserve(num_rows * queries_per_row);
    for (int64_t i = 0; i < num_rows; ++i) {
      copies_.insert(copies_.end(), static_cast<size_t>(queries_per_row), rows[i]);
    }
    queries_ = copies_.data();
  }
  for (int64_t i = 0; i < num_rows * queries_per_row; ++i) {
    const AttentionRow& query = queries_[i];
    if (IsPadding(query)) continue;
    const bool is_next = !groups_.empty() && groups_.back().first + groups_.back().size == i;
    const bool joins = is_next && groups_.back().size < kMaxQueryGroup &&
                       (queries_per_row == 1 || i % queries_per_row != 0) &&
                       query.pages == queries_[i - 1].pages &&
                       query.position >= queries_[i - 1].position;
    if (!joins) groups_.push_back({i, 0, 0, total_keys_});
    ++groups_.back().size;
    groups_.back().keys += query.position + 1;
    total_keys_ += query.position + 1;
  }
}

}  // namespace blockformer
