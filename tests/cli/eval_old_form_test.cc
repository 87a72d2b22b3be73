#include "cli/eval_old_form.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace blockformer {
namespace {

using Arguments = std::vector<std::string>;
using ::testing::ElementsAre;

TEST(EvalOldForm, TheModesFlagBecomesACommand) {
  EXPECT_THAT(WithEvalCommand({"eval", "--loss", "m", "--data", "d"}),
              ElementsAre("eval", "loss", "m", "--data", "d"));
  EXPECT_THAT(WithEvalCommand({"eval", ".", "--needle", "--needle-form", "continuation"}),
              ElementsAre("eval", "needle", ".", "--form", "continuation"));
  EXPECT_THAT(WithEvalCommand({"eval", "--loss-by-position", "m"}),
              ElementsAre("eval", "positions", "m"));
  EXPECT_THAT(WithEvalCommand({"eval", "--compare", "a", "b", "--json", "c"}),
              ElementsAre("eval", "compare", "a", "b", "--json", "c"));
  EXPECT_THAT(WithEvalCommand({"eval", "--show-task", "piqa"}),
              ElementsAre("eval", "show-task", "piqa"));
}

TEST(EvalOldForm, TasksWereTheDefault) {
  EXPECT_THAT(WithEvalCommand({"eval", ".", "--tasks", "piqa"}),
              ElementsAre("eval", "tasks", ".", "--tasks", "piqa"));
  EXPECT_THAT(WithEvalCommand({"eval", "--limit", "2", "m"}),
              ElementsAre("eval", "tasks", "--limit", "2", "m"));
}

TEST(EvalOldForm, TodaysFormIsLeftAlone) {
  for (const Arguments& arguments :
       {Arguments{}, Arguments{"eval"}, Arguments{"eval", "--help"}, Arguments{"eval", "loss", "m"},
        Arguments{"eval", "tasks", ".", "--tasks", "piqa"}, Arguments{"eval", "no-such-command"},
        Arguments{"generate", "m", "--loss"}}) {
    EXPECT_EQ(WithEvalCommand(arguments), arguments);
  }
}

TEST(EvalOldForm, TwoModesExcludeEachOther) {
  EXPECT_THROW(WithEvalCommand({"eval", ".", "--loss", "--needle"}), Error);
  EXPECT_THROW(WithEvalCommand({"eval", ".", "--loss", "--tasks", "piqa"}), Error);
}

}  // namespace
}  // namespace blockformer
