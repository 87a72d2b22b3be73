#include "base/shell_word.h"

#include <gtest/gtest.h>

namespace blockformer {
namespace {

TEST(ShellWord, QuotesWhatAShellWouldRead) {
  EXPECT_EQ(ShellWord("output=runs/trial-1"), "output=runs/trial-1");
  EXPECT_EQ(ShellWord(""), "''");
  EXPECT_EQ(ShellWord("a b"), "'a b'");
  EXPECT_EQ(ShellWord("it's $HOME"), "'it'\\''s $HOME'");
  EXPECT_EQ(ShellWord("~/a"), "'~/a'");
  EXPECT_EQ(ShellQuoted("plain"), "'plain'");
}

}  // namespace
}  // namespace blockformer
