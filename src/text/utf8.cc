#include "text/utf8.h"

#include <cstdint>
#include <cstring>

namespace blockformer {
namespace {

uint8_t ByteAt(std::string_view text, size_t position) {
  return static_cast<uint8_t>(text[position]);
}

// What a lead byte says: the length of the character, and the range of its second byte.
struct Lead {
  size_t length = 0;  // 0: no character starts with this byte
  uint8_t second_min = 0x80;
  uint8_t second_max = 0xBF;
};

Lead ReadLead(uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

bool EightAsciiBytes(const char* text) {
  uint64_t word;
  std::memcpy(&word, text, sizeof(word));
  return (word & 0x8080808080808080u) == 0;
}

}  // namespace

Utf8Character ReadUtf8(std::string_view text) {
  using State = Utf8Character::State;
  const Lead lead = ReadLead(ByteAt(text, 0));
  if (lead.length == 0) return {0, 1, State::kInvalid};
  for (size_t i = 1; i < lead.length; ++i) {
    if (i == text.size()) return {0, i, State::kIncomplete};
    const uint8_t min = i == 1 ? lead.second_min : 0x80;
    const uint8_t max = i == 1 ? lead.second_max : 0xBF;
    if (ByteAt(text, i) < min || ByteAt(text, i) > max) return {0, i, State::kInvalid};
  }
  size_t position = 0;
  return {NextCodePoint(text, &position), lead.length, State::kValid};
}

char32_t NextCodePoint(std::string_view text, size_t* position) {
  const uint8_t lead = ByteAt(text, (*position)++);
  if (lead < 0x80) return lead;
  const auto next = [&] { return static_cast<char32_t>(ByteAt(text, (*position)++) & 0x3F); };
  char32_t code_point = next();
  if (lead < 0xE0) return (lead & 0x1Fu) << 6 | code_point;
  code_point = code_point << 6 | next();
  if (lead < 0xF0) return (lead & 0x0Fu) << 12 | code_point;
  code_point = code_point << 6 | next();
  return (lead & 0x07u) << 18 | code_point;
}

void AppendUtf8(char32_t code_point, std::string* text) {
  const auto append = [&](char32_t byte) { text->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) return append(code_point);
  if (code_point < 0x800) {
    append(0xC0 | code_point >> 6);
  } else {
    if (code_point < 0x10000) {
      append(0xE0 | code_point >> 12);
    } else {
      append(0xF0 | code_point >> 18);
      append(0x80 | (code_point >> 12 & 0x3F));
    }
    append(0x80 | (code_point >> 6 & 0x3F));
  }
  append(0x80 | (code_point & 0x3F));
}

size_t FindInvalidUtf8(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    if (position + 8 <= text.size() && EightAsciiBytes(text.data() + position)) {
      position += 8;
      continue;
    }
    const Utf8Character character = ReadUtf8(text.substr(position));
    if (character.state != Utf8Character::State::kValid) return position;
    position += character.length;
  }
  return position;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string result;
  while (true) {
    const size_t valid = FindInvalidUtf8(text);
    result.append(text.substr(0, valid));
    text.remove_prefix(valid);
    if (text.empty()) return result;
    result.append(kReplacementCharacter);
    text.remove_prefix(ReadUtf8(text).length);
  }
}

}  // namespace blockformer
