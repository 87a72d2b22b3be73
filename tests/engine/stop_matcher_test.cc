#include "engine/stop_matcher.h"

#include <gtest/gtest.h>

namespace blockformer {
namespace {

TEST(StopMatcherTest, FindsAStopTextAcrossPieces) {
  StopMatcher matcher({"END", "\n\n"});
  EXPECT_EQ(matcher.Push("one E"), "one ");
  EXPECT_EQ(matcher.Push("N"), "");
  EXPECT_FALSE(matcher.stopped());
  EXPECT_EQ(matcher.Push("D two"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.Push("more"), "");
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcherTest, ReleasesWhatTurnsOutHarmless) {
  StopMatcher matcher({"aab"});
  EXPECT_EQ(matcher.Push("aa"), "");
  EXPECT_EQ(matcher.Push("a"), "a");
  EXPECT_EQ(matcher.Push("c"), "aac");
  EXPECT_EQ(matcher.Push("a"), "");
  EXPECT_EQ(matcher.Flush(), "a");
}

TEST(StopMatcherTest, TakesTheFirstOfSeveral) {
  StopMatcher matcher({"later", "soon"});
  EXPECT_EQ(matcher.Push("x soon y later"), "x ");
}

TEST(StopMatcherTest, WithoutStopTextsPassesEverything) {
  StopMatcher matcher({"", ""});
  EXPECT_EQ(matcher.Push("text"), "text");
  EXPECT_FALSE(matcher.stopped());
}

}  // namespace
}  // namespace blockformer
