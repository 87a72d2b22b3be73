#ifndef BLOCKFORMER_KERNELS_ATTENTION_PLAN_H_
#define BLOCKFORMER_KERNELS_ATTENTION_PLAN_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/attention.h"

namespace blockformer {

// Queries that share the work of loading and converting keys and values.
inline constexpr int64_t kMaxQueryGroup = 4;

// Consecutive queries that read the same keys together. A key counts once for each query that sees
// it.
struct QueryRange {
  int64_t first;
  int64_t size;         // 1 to kMaxQueryGroup
  int64_t keys;         // that the queries see
  int64_t keys_before;  // that the queries of all earlier groups see
};

// How queries are grouped, and how the groups' heads are shared out among threads. The plan changes
// no result.
class AttentionPlan {
 public:
  // Each row holds `queries_per_row` queries for each of `heads` heads of keys and values. A group
  // is queries of one sequence at ascending positions, or of one row if rows hold several. Rows of
  // padding are in no group. The rows outlive the plan.
  AttentionPlan(const AttentionRow* rows, int64_t num_rows, int64_t queries_per_row, int64_t heads);

  // The row of each query of a head, [num_rows * queries_per_row].
  const AttentionRow* queries() const { return queries_; }
  // The keys that all queries see, in all heads together.
  int64_t work() const { return total_keys_ * heads_; }

  // Calls attend(group, first_head, num_heads) for all heads whose work begins in the part [begin,
  // end) of the whole: so sequences are shared out by the keys that they see, whatever their
  // lengths.
  template <typename Attend>
  void ForEachIn(int64_t begin, int64_t end, const Attend& attend) const {
    const auto starts_before = [this](const QueryRange& group, int64_t work) {
      return group.keys_before * heads_ < work;
    };
    auto group = std::lower_bound(groups_.begin(), groups_.end(), begin, starts_before);
    if (group != groups_.begin()) --group;  // its later heads may begin in the part
    for (; group != groups_.end() && starts_before(*group, end); ++group) {
      const int64_t first = FirstHead(*group, begin);
      const int64_t last = FirstHead(*group, end);
      if (first < last) attend(*group, first, last - first);
    }
  }

 private:
  // The first head of a group whose work begins at `work` or later.
  int64_t FirstHead(const QueryRange& group, int64_t work) const {
    const int64_t ahead = work - group.keys_before * heads_;
    return std::clamp((ahead + group.keys - 1) / group.keys, int64_t{0}, heads_);
  }

  std::vector<AttentionRow> copies_;  // of rows that hold several queries
  const AttentionRow* queries_;
  int64_t heads_;
  int64_t total_keys_ = 0;
  std::vector<QueryRange> groups_;
};

// Whether a row is padding, which sees nothing and gets zeros.
inline bool IsPadding(const AttentionRow& row) {
  return row.key_mask != nullptr && row.key_mask[row.position] == 0 && !row.attends_if_masked;
}

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_ATTENTION_PLAN_H_
