#ifndef BLOCKFORMER_TEXT_PYTHON_TEXT_H_
#define BLOCKFORMER_TEXT_PYTHON_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace blockformer {

// What Python's str does, on valid UTF-8. Lengths and positions count characters (code points).

// str.isspace() of a character, which is also what \s of a regular expression stands for: the
// property White_Space, and U+001C to U+001F.
bool IsPythonSpace(char32_t character);

int64_t CountCharacters(std::string_view text);

// len(re.split(r"\s+", text)): one more than there are runs of white space, at the ends too.
int64_t CountWords(std::string_view text);

// Views into `text`.
std::string_view StripStart(std::string_view text);
std::string_view StripEnd(std::string_view text);
std::string_view Strip(std::string_view text);

// text.split(None, max_splits) and text.split(separator, max_splits). The separator is not empty.
std::vector<std::string> SplitAtSpace(std::string_view text, size_t max_splits);
std::vector<std::string> SplitText(std::string_view text, std::string_view separator,
                                   size_t max_splits);

// With "\n" for "\r\n" and "\r", as Python and Jinja2 read lines.
std::string NormalizeLineEnds(std::string_view text);

// text.replace(from, to), where `from` is not empty.
std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to);

// With one character for each, see text/unicode.h.
std::string LowerCase(std::string_view text);
std::string UpperCase(std::string_view text);
std::string Capitalize(std::string_view text);

// The positions [first, second) that the slice [begin:end] takes of `size` elements; the two are
// equal if it takes none.
std::pair<size_t, size_t> SliceRange(std::optional<int64_t> begin, std::optional<int64_t> end,
                                     size_t size);

// The characters [begin, end), both at most the length.
std::string_view Substring(std::string_view text, size_t begin, size_t end);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_PYTHON_TEXT_H_
