#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "text/utf8.h"

namespace blockformer {
namespace {

// No character below U+0300, whose first byte is this one, changes or combines with what precedes.
constexpr unsigned char kFirstMarkLead = 0xCC;
constexpr size_t kMaxDecomposition = 8;  // canonical decompositions have at most 4 characters

// True if NFC neither changes the character nor combines it with anything before it.
bool IsInert(char32_t character) {
  constexpr uint16_t kNone = UINT16_MAX;
  constexpr uint16_t kCombinesWithPrevious = 0x8000;
  const utf8proc_property_t& property = *utf8proc_get_property(static_cast<int32_t>(character));
  const bool decomposes = property.decomp_seqindex != kNone && property.decomp_type == 0;
  const bool is_jamo = character >= 0x1161 && character <= 0x11C2;  // vowels and final consonants
  const bool combines =
      property.comb_index != kNone && (property.comb_index & kCombinesWithPrevious) != 0;
  return property.combining_class == 0 && !decomposes && !combines && !is_jamo;
}

// The position of the first character at or after `position` that is inert or not, as asked for.
size_t FindCharacter(std::string_view text, size_t position, bool inert) {
  while (position < text.size()) {
    size_t next = position;
    const bool low = static_cast<unsigned char>(text[position]) < kFirstMarkLead;
    if (low) {
      NextCodePoint(text, &next);
      if (inert) return position;
    } else if (IsInert(NextCodePoint(text, &next)) == inert) {
      return position;
    }
    position = next;
  }
  return text.size();
}

size_t FindUnsettled(std::string_view text, size_t position) {
  while (position < text.size() && static_cast<unsigned char>(text[position]) < kFirstMarkLead) {
    ++position;
  }
  return FindCharacter(text, position, false);
}

// Canonical ordering: marks between two starters by combining class, otherwise as they stand.
void OrderMarks(std::vector<int32_t>* characters) {
  const auto combining_class = [](int32_t character) {
    return utf8proc_get_property(character)->combining_class;
  };
  auto begin = characters->begin();
  while (begin != characters->end()) {
    if (combining_class(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, characters->end(),
                                  [&](int32_t c) { return combining_class(c) == 0; });
    std::stable_sort(begin, end, [&](int32_t a, int32_t b) {
      return combining_class(a) < combining_class(b);
    });
    begin = end;
  }
}

// utf8proc_map would do all of this, but it sorts a run of marks in quadratic time.
void AppendComposed(std::string_view text, std::string* result) {
  std::vector<int32_t> characters;
  size_t position = 0;
  while (position < text.size()) {
    int32_t decomposed[kMaxDecomposition];
    const auto character = static_cast<int32_t>(NextCodePoint(text, &position));
    const auto count = utf8proc_decompose_char(character, decomposed, kMaxDecomposition,
                                               UTF8PROC_DECOMPOSE, nullptr);
    characters.insert(characters.end(), decomposed, decomposed + count);
  }
  OrderMarks(&characters);
  const auto length = utf8proc_normalize_utf32(
      characters.data(), static_cast<utf8proc_ssize_t>(characters.size()),
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  for (utf8proc_ssize_t i = 0; i < length; ++i) {
    AppendUtf8(static_cast<char32_t>(characters[static_cast<size_t>(i)]), result);
  }
}

size_t PreviousCharacter(std::string_view text, size_t position) {
  do {
    --position;
  } while ((static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  return position;
}

}  // namespace

std::string_view NormalizeNfc(std::string_view text, std::string* storage) {
  size_t unsettled = FindUnsettled(text, 0);
  if (unsettled == text.size()) return text;
  storage->clear();
  size_t copied = 0;
  while (unsettled < text.size()) {
    // From the inert character before, which may take part in a composition, to the next one.
    const size_t begin = unsettled == 0 ? 0 : PreviousCharacter(text, unsettled);
    const size_t end = FindCharacter(text, unsettled, true);
    storage->append(text.substr(copied, begin - copied));
    AppendComposed(text.substr(begin, end - begin), storage);
    copied = end;
    unsettled = FindUnsettled(text, end);
  }
  storage->append(text.substr(copied));
  return *storage;
}

}  // namespace blockformer
