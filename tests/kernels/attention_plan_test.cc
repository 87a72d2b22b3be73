#include "kernels/attention_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>

namespace blockformer {
namespace {

constexpr int32_t kPages[2] = {0, 1};

// Two sequences: the first with ascending positions and one of padding, the second with one row.
std::vector<AttentionRow> Rows() {
  static constexpr uint8_t kMask[] = {1, 1, 0, 1, 1, 1, 1, 1, 1};
  std::vector<AttentionRow> rows;
  for (int64_t position = 0; position < 9; ++position) {
    rows.push_back({&kPages[0], position, position, kMask, false});
  }
  rows.push_back({&kPages[1], 100, 100, nullptr, false});
  return rows;
}

TEST(AttentionPlanTest, CoversEveryQueryOfEveryHeadOnceHoweverItIsCut) {
  const std::vector<AttentionRow> rows = Rows();
  for (const int64_t per_row : {1, 2, 6}) {
    for (const int64_t heads : {1, 3, 8}) {
      const AttentionPlan plan(rows.data(), std::ssize(rows), per_row, heads);
      int64_t keys = 0;
      for (const AttentionRow& row : rows) keys += IsPadding(row) ? 0 : row.position + 1;
      EXPECT_EQ(plan.work(), keys * per_row * heads);
      for (const int64_t parts : {1, 2, 7, 100}) {
        std::map<std::pair<int64_t, int64_t>, int> seen;  // by query and head
        for (int64_t part = 0; part < parts; ++part) {
          plan.ForEachIn(plan.work() * part / parts, plan.work() * (part + 1) / parts,
                         [&](const QueryRange& group, int64_t first_head, int64_t num_heads) {
                           EXPECT_LE(group.size, kMaxQueryGroup);
                           for (int64_t q = group.first; q < group.first + group.size; ++q) {
                             for (int64_t h = first_head; h < first_head + num_heads; ++h) {
                               ++seen[{q, h}];
                             }
                           }
                         });
        }
        EXPECT_EQ(std::ssize(seen), (std::ssize(rows) - 1) * per_row * heads);
        for (const auto& [place, times] : seen) EXPECT_EQ(times, 1);
      }
    }
  }
}

TEST(AttentionPlanTest, GroupsAreOfOneSequenceOrOfOneRow) {
  const std::vector<AttentionRow> rows = Rows();
  for (const int64_t per_row : {1, 3}) {
    const AttentionPlan plan(rows.data(), std::ssize(rows), per_row, 1);
    int groups = 0;
    plan.ForEachIn(0, plan.work(), [&](const QueryRange& group, int64_t, int64_t) {
      ++groups;
      const int64_t last = group.first + group.size - 1;
      EXPECT_EQ(plan.queries()[group.first].pages, plan.queries()[last].pages);
      EXPECT_TRUE(per_row == 1 || group.first / per_row == last / per_row);
    });
    // Rows 0 and 1, 3 to 6, 7 and 8, and the other sequence's; or one of each row.
    EXPECT_EQ(groups, per_row == 1 ? 4 : 9);
  }
}

}  // namespace
}  // namespace blockformer
