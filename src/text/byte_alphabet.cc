#include "text/byte_alphabet.h"

#include <array>

#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr char32_t kFirstSubstitute = 0x100;
constexpr size_t kNumSubstitutes = 68;

constexpr bool IsPrintable(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<char32_t, 256> character_of_byte{};
  std::array<uint8_t, kNumSubstitutes> byte_of_substitute{};
};

constexpr Alphabet MakeAlphabet() {
  Alphabet alphabet;
  size_t substitutes = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (IsPrintable(byte)) {
      alphabet.character_of_byte[byte] = byte;
    } else {
      alphabet.character_of_byte[byte] = kFirstSubstitute + substitutes;
      alphabet.byte_of_substitute[substitutes++] = static_cast<uint8_t>(byte);
    }
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = MakeAlphabet();

}  // namespace

char32_t ByteToAlphabet(uint8_t byte) { return kAlphabet.character_of_byte[byte]; }

std::string ToByteAlphabet(std::string_view bytes) {
  std::string token;
  for (const char byte : bytes) AppendUtf8(ByteToAlphabet(static_cast<uint8_t>(byte)), &token);
  return token;
}

std::optional<std::string> FromByteAlphabet(std::string_view token) {
  std::string bytes;
  size_t position = 0;
  while (position < token.size()) {
    const char32_t character = NextCodePoint(token, &position);
    if (character < kFirstSubstitute && IsPrintable(static_cast<int>(character))) {
      bytes.push_back(static_cast<char>(character));
    } else if (character >= kFirstSubstitute && character < kFirstSubstitute + kNumSubstitutes) {
      bytes.push_back(
          static_cast<char>(kAlphabet.byte_of_substitute[character - kFirstSubstitute]));
    } else {
      return std::nullopt;
    }
  }
  return bytes;
}

}  // namespace blockformer
