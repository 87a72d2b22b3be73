#include "config/field_difference.h"

#include <gtest/gtest.h>

namespace blockformer {
namespace {

TEST(FindDifferences, NameFieldsOfSectionsWithTheirValues) {
  const Json first = {{"a", {{"b", 1}, {"c", "x"}, {"same", 0}}}};
  const Json second = {{"a", {{"b", 2}, {"d", nullptr}, {"same", 0}}}};
  const std::vector<FieldDifference> differences = FindDifferences(first, second);
  ASSERT_EQ(differences.size(), 3);
  EXPECT_EQ(differences[0].pointer, "/a/b");
  EXPECT_EQ(differences[0].path, "a.b");
  EXPECT_EQ(differences[0].first, "1");
  EXPECT_EQ(differences[0].second, "2");
  EXPECT_EQ(differences[1].path, "a.c");
  EXPECT_EQ(differences[1].first, "\"x\"");
  EXPECT_EQ(differences[1].second, std::nullopt);
  EXPECT_EQ(differences[2].path, "a.d");
  EXPECT_EQ(differences[2].first, std::nullopt);
  EXPECT_EQ(differences[2].second, "null");
}

TEST(FindDifferences, OfWholeDocuments) {
  EXPECT_TRUE(FindDifferences({{"a", 1}}, {{"a", 1}}).empty());
  const std::vector<FieldDifference> differences = FindDifferences(1, {{"a", 1}});
  ASSERT_EQ(differences.size(), 1);
  EXPECT_EQ(differences[0].pointer, "");
  EXPECT_EQ(differences[0].path, "all of it");
  EXPECT_EQ(differences[0].second, "{\"a\":1}");
}

}  // namespace
}  // namespace blockformer
