#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "text/unicode.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

char32_t LastCodePoint(std::string_view text, size_t* begin) {
  *begin = text.size();
  do {
    --*begin;
  } while ((static_cast<uint8_t>(text[*begin]) & 0xC0) == 0x80);
  size_t position = *begin;
  return NextCodePoint(text, &position);
}

bool EndsWithWord(std::string_view text) {
  size_t begin = 0;
  return !text.empty() && IsWordCharacter(LastCodePoint(text, &begin));
}

bool StartsWithWord(std::string_view text) {
  size_t position = 0;
  return !text.empty() && IsWordCharacter(NextCodePoint(text, &position));
}

// Where the white space at the end of text[min, end) begins.
size_t SkipSpaceBefore(std::string_view text, size_t min, size_t end) {
  while (end > min) {
    size_t begin = 0;
    if (!IsWhiteSpace(LastCodePoint(text.substr(0, end), &begin))) break;
    end = begin;
  }
  return std::max(end, min);
}

size_t SkipSpaceAfter(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    size_t next = begin;
    if (!IsWhiteSpace(NextCodePoint(text, &next))) break;
    begin = next;
  }
  return begin;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)), nodes_(1) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (!tokens_[i].content.empty()) Insert(tokens_[i].content, static_cast<int32_t>(i));
  }
}

uint32_t AddedTokenMatcher::Child(uint32_t node, char byte) const {
  for (const auto& [label, child] : nodes_[node].children) {
    if (label == byte) return child;
  }
  return 0;
}

void AddedTokenMatcher::Insert(std::string_view content, int32_t token) {
  starts_[static_cast<uint8_t>(content[0])] = true;
  uint32_t node = 0;
  for (const char byte : content) {
    uint32_t child = Child(node, byte);
    if (child == 0) {
      child = static_cast<uint32_t>(nodes_.size());
      nodes_[node].children.emplace_back(byte, child);
      nodes_.emplace_back();
    }
    node = child;
  }
  if (nodes_[node].token < 0) nodes_[node].token = token;
}

int32_t AddedTokenMatcher::LongestAt(std::string_view text, size_t position,
                                     bool special_too) const {
  int32_t longest = -1;
  uint32_t node = 0;
  while (position < text.size()) {
    node = Child(node, text[position++]);
    if (node == 0) break;
    const int32_t token = nodes_[node].token;
    if (token >= 0 && (special_too || !tokens_[token].special)) longest = token;
  }
  return longest;
}

std::vector<AddedTokenMatcher::Match> AddedTokenMatcher::Find(std::string_view text,
                                                              bool shielded) const {
  std::vector<Match> matches;
  size_t taken = 0;  // the end of the last match
  size_t position = 0;
  while (position < text.size()) {
    if (!starts_[static_cast<uint8_t>(text[position])]) {
      ++position;
      continue;
    }
    const bool special_too = !shielded || !text.substr(0, position).ends_with(kShield);
    const int32_t found = LongestAt(text, position, special_too);
    if (found < 0) {
      ++position;
      continue;
    }
    const AddedToken& token = tokens_[found];
    size_t begin = position;
    size_t end = position + token.content.size();
    position = end;
    if (token.single_word &&
        (EndsWithWord(text.substr(0, begin)) || StartsWithWord(text.substr(end)))) {
      continue;
    }
    if (token.lstrip) begin = SkipSpaceBefore(text, taken, begin);
    if (token.rstrip) end = SkipSpaceAfter(text, end);
    matches.push_back({begin, end, token.id});
    taken = end;
  }
  return matches;
}

std::string AddedTokenMatcher::Shield(std::string_view text) const {
  std::string shielded;
  for (size_t position = 0; position < text.size(); ++position) {
    const bool may_start = starts_[static_cast<uint8_t>(text[position])];
    if (may_start && LongestAt(text, position, /*special_too=*/true) >= 0) shielded += kShield;
    shielded += text[position];
  }
  return shielded;
}

}  // namespace blockformer
