#ifndef BLOCKFORMER_TEXT_BYTE_ALPHABET_H_
#define BLOCKFORMER_TEXT_BYTE_ALPHABET_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace blockformer {

// GPT-2's reversible mapping of the 256 bytes to printable characters, in which the files of
// byte-level tokenizers are written: printable Latin-1 bytes stand for themselves, the other 68 for
// U+0100 onwards in ascending order ("Ġ" is the space).

char32_t ByteToAlphabet(uint8_t byte);

// Bytes to the alphabet, as UTF-8.
std::string ToByteAlphabet(std::string_view bytes);

// The bytes that a token of the alphabet stands for; nothing if a character is not of the alphabet.
// `token` is valid UTF-8.
std::optional<std::string> FromByteAlphabet(std::string_view token);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_BYTE_ALPHABET_H_
