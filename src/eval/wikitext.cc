#include "eval/wikitext.h"

#include <utility>

#include "text/python_text.h"

namespace blockformer {
namespace {

using Rule = std::pair<std::string_view, std::string_view>;  // a text and what replaces it

constexpr Rule kSeparatorsAndPunctuation[] = {
    {" @-@ ", "-"}, {" @,@ ", ","}, {" @.@ ", "."}, {" : ", ": "}, {" ; ", "; "},
    {" . ", ". "},  {" ! ", "! "},  {" ? ", "? "},  {" , ", ", "},
};
constexpr Rule kMiscellaneous[] = {
    {"= = = =", "===="}, {"= = =", "==="}, {"= =", "=="},  {" \u00B0 ", "\u00B0"},
    {" \n", "\n"},       {"\n ", "\n"},    {" N ", " 1 "}, {" 's", "'s"},
};

// The harness replaces matches of "/' [0-9]/", slashes and all, with a literal text.
std::string ReplaceSlashedDigits(std::string_view text) {
  constexpr std::string_view kStart = "/' ";
  std::string result;
  for (size_t found; (found = text.find(kStart)) != std::string_view::npos;) {
    const std::string_view rest = text.substr(found + kStart.size());
    const bool matches = rest.size() >= 2 && rest[0] >= '0' && rest[0] <= '9' && rest[1] == '/';
    result.append(text.substr(0, found)).append(matches ? "/'[0-9]/" : kStart);
    text = rest.substr(matches ? 2 : 0);
  }
  return result.append(text);
}

// Drops the white space between a bracket and what it encloses, up to the first that closes.
std::string TightenBrackets(std::string_view text, char open, char close) {
  std::string result;
  while (true) {
    const size_t begin = text.find(open);
    const size_t end = begin == std::string_view::npos ? begin : text.find(close, begin + 1);
    if (end == std::string_view::npos) return result.append(text);
    result.append(text.substr(0, begin + 1));
    result.append(Strip(text.substr(begin + 1, end - begin - 1)));
    result.push_back(close);
    text.remove_prefix(end + 1);
  }
}

}  // namespace

std::string DetokenizeWikitext(std::string_view page) {
  std::string text = ReplaceSlashedDigits(ReplaceAll(page, "s '", "s'"));
  for (const auto& [from, to] : kSeparatorsAndPunctuation) text = ReplaceAll(text, from, to);
  for (const std::string_view pair : {"()", "[]", "{}", "\"\"", "''"}) {
    text = TightenBrackets(text, pair[0], pair[1]);
  }
  for (const auto& [from, to] : kMiscellaneous) text = ReplaceAll(text, from, to);
  return text;
}

}  // namespace blockformer
