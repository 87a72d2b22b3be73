#include "eval/wikitext.h"

#include <gtest/gtest.h>

#include <string>

namespace blockformer {
namespace {

// What is expected here was printed by the harness's own function.
TEST(Wikitext, IsDetokenizedAsTheHarnessDoes) {
  const std::pair<const char*, const char*> cases[] = {
      {" = A = \n \n It cost £ 1 @,@ 000 @.@ 5 ( a @-@ b ) ; he said \" Hi ! \" , and ' yes ' : "
       "why "
       "? \n = = B = = \n",
       " = A =\n\nIt cost £ 1,000.5 (a-b); he said \"Hi!\", and 'yes': why?\n== B ==\n"},
      {"the cats ' [ x ] { y } 5 ° N and Bob 's N .", "the cats'[x] {y} 5°N and Bob's 1 ."},
      {"( unclosed [ a ( b ) c ] ( ", "(unclosed [a ( b) c] ( "},
      {"' a ( ' b ) '", "'a (' b) '"},
      {"/' 5/ /' x/ /' 7/' 8/", "/'[0-9]/ /' x/ /'[0-9]/' 8/"},
      {"(  )[\t]\"\"", "()[]\"\""},
      {"= = = = = = = =", "========"},
      {"a \n b \n \n c", "a\nb\n\nc"},
      {"x \u00A0( \u3000y\x1C )", "x \u00A0(y)"},
      {"( a \" b ) c \" d", "(a \"b) c\" d"},
      {"", ""},
  };
  for (const auto& [page, expected] : cases) EXPECT_EQ(DetokenizeWikitext(page), expected);
}

// An implementation that recurses or starts over at each bracket would not end.
TEST(Wikitext, TakesTimeInProportion) {
  const size_t count = size_t{1} << 20;
  EXPECT_EQ(DetokenizeWikitext(std::string(count, '(')), std::string(count, '('));
  const std::string spaces = "(" + std::string(count, ' ');
  EXPECT_EQ(DetokenizeWikitext(spaces + ")"), "()");
  EXPECT_EQ(DetokenizeWikitext(spaces), spaces);
}

}  // namespace
}  // namespace blockformer
