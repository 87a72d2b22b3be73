#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "text/unicode.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

// No character below U+0300, whose first byte is this one, changes or combines with what precedes.
constexpr unsigned char kFirstMarkLead = 0xCC;
constexpr size_t kMaxDecomposition = 8;  // canonical decompositions have at most 4 characters

// Characters that compose or have a combining class today and did not in Unicode 9, whose tables
// Hugging Face's library still uses: to it, and so to the models trained with it, they are inert.
constexpr CodePointRange kInertInUnicode9[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10D24, 0x10D27},
    {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943},
    {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99},
    {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42},
    {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}};

int CombiningClass(int32_t character) {
  const int combining_class = utf8proc_get_property(character)->combining_class;
  return combining_class != 0 && Contains(kInertInUnicode9, static_cast<char32_t>(character))
             ? 0
             : combining_class;
}

// True if NFC neither changes the character nor combines it with anything before it.
bool IsInert(char32_t character) {
  constexpr uint16_t kNone = UINT16_MAX;
  constexpr uint16_t kCombinesWithPrevious = 0x8000;
  const utf8proc_property_t& property = *utf8proc_get_property(static_cast<int32_t>(character));
  const bool decomposes = property.decomp_seqindex != kNone && property.decomp_type == 0;
  const bool is_jamo = character >= 0x1161 && character <= 0x11C2;  // vowels and final consonants
  const bool combines =
      property.comb_index != kNone && (property.comb_index & kCombinesWithPrevious) != 0;
  const bool settled = property.combining_class == 0 && !decomposes && !combines && !is_jamo;
  return settled || Contains(kInertInUnicode9, character);
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
  auto begin = characters->begin();
  while (begin != characters->end()) {
    if (CombiningClass(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end =
        std::find_if(begin, characters->end(), [](int32_t c) { return CombiningClass(c) == 0; });
    const auto less = [](int32_t a, int32_t b) { return CombiningClass(a) < CombiningClass(b); };
    if (!std::is_sorted(begin, end, less)) std::stable_sort(begin, end, less);
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
  const auto length =
      utf8proc_normalize_utf32(characters.data(), static_cast<utf8proc_ssize_t>(characters.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  for (utf8proc_ssize_t i = 0; i < length; ++i) {
    AppendUtf8(static_cast<char32_t>(characters[i]), result);
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

std::string Utf8procVersion() { return utf8proc_version(); }

}  // namespace blockformer
