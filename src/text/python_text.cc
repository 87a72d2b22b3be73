#include "text/python_text.h"

#include <algorithm>

#include "text/unicode.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

// The offset of the character at `position`.
size_t OffsetOf(std::string_view text, size_t position) {
  size_t offset = 0;
  for (; position > 0; --position) NextCodePoint(text, &offset);
  return offset;
}

// The offset of the first white space, or the text's size.
size_t FindSpace(std::string_view text) {
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    if (IsPythonSpace(NextCodePoint(text, &position))) return start;
  }
  return text.size();
}

// A position as Python counts it, from the end if negative, moved to where there are elements.
size_t Clamp(int64_t position, size_t size) {
  const auto count = static_cast<int64_t>(size);
  if (position < 0) position = std::max<int64_t>(position, -count) + count;
  return static_cast<size_t>(std::min(position, count));
}

template <typename Map>
std::string MapCharacters(std::string_view text, Map map) {
  std::string result;
  result.reserve(text.size());
  for (size_t position = 0; position < text.size();) {
    AppendUtf8(map(NextCodePoint(text, &position)), &result);
  }
  return result;
}

}  // namespace

bool IsPythonSpace(char32_t character) {
  return (character >= 0x1C && character <= 0x1F) || IsWhiteSpace(character);
}

int64_t CountCharacters(std::string_view text) {
  return static_cast<int64_t>(text.size()) -
         std::count_if(text.begin(), text.end(), IsContinuation);
}

int64_t CountWords(std::string_view text) {
  int64_t words = 1;
  bool in_space = false;
  for (size_t position = 0; position < text.size();) {
    const bool is_space = IsPythonSpace(NextCodePoint(text, &position));
    if (is_space && !in_space) ++words;
    in_space = is_space;
  }
  return words;
}

std::string_view StripStart(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    const size_t start = position;
    if (!IsPythonSpace(NextCodePoint(text, &position))) return text.substr(start);
  }
  return text.substr(text.size());
}

std::string_view StripEnd(std::string_view text) {
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && IsContinuation(text[start])) --start;
    size_t position = start;
    if (!IsPythonSpace(NextCodePoint(text, &position))) break;
    text = text.substr(0, start);
  }
  return text;
}

std::string_view Strip(std::string_view text) { return StripEnd(StripStart(text)); }

std::vector<std::string> SplitAtSpace(std::string_view text, size_t max_splits) {
  std::vector<std::string> pieces;
  for (text = StripStart(text); !text.empty(); text = StripStart(text)) {
    const size_t end = pieces.size() < max_splits ? FindSpace(text) : text.size();
    pieces.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return pieces;
}

std::vector<std::string> SplitText(std::string_view text, std::string_view separator,
                                   size_t max_splits) {
  std::vector<std::string> pieces;
  while (pieces.size() < max_splits) {
    const size_t end = text.find(separator);
    if (end == std::string_view::npos) break;
    pieces.emplace_back(text.substr(0, end));
    text.remove_prefix(end + separator.size());
  }
  pieces.emplace_back(text);
  return pieces;
}

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  size_t start = 0;
  for (size_t found; (found = text.find(from, start)) != std::string_view::npos;) {
    result.append(text.substr(start, found - start)).append(to);
    start = found + from.size();
  }
  return result.append(text.substr(start));
}

std::string NormalizeLineEnds(std::string_view text) {
  return ReplaceAll(ReplaceAll(text, "\r\n", "\n"), "\r", "\n");
}

std::string LowerCase(std::string_view text) { return MapCharacters(text, ToLowerCase); }

std::string UpperCase(std::string_view text) { return MapCharacters(text, ToUpperCase); }

std::string Capitalize(std::string_view text) {
  bool is_first = true;
  return MapCharacters(text, [&](char32_t character) {
    const bool first = std::exchange(is_first, false);
    return first ? ToTitleCase(character) : ToLowerCase(character);
  });
}

std::pair<size_t, size_t> SliceRange(std::optional<int64_t> begin, std::optional<int64_t> end,
                                     size_t size) {
  const size_t first = begin ? Clamp(*begin, size) : 0;
  const size_t last = end ? Clamp(*end, size) : size;
  return {first, std::max(first, last)};
}

std::string_view Substring(std::string_view text, size_t begin, size_t end) {
  text.remove_prefix(OffsetOf(text, begin));
  return text.substr(0, OffsetOf(text, end - begin));
}

}  // namespace blockformer
