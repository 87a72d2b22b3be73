#ifndef BLOCKFORMER_TEXT_PRE_TOKENIZER_H_
#define BLOCKFORMER_TEXT_PRE_TOKENIZER_H_

#include <cstddef>
#include <string_view>

namespace blockformer {

// Where the first piece of a non-empty text ends, by the pattern of GPT-2 and GPT-NeoX:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// `text` is valid UTF-8. Time is linear in the length of the piece.
size_t Gpt2PieceLength(std::string_view text);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_PRE_TOKENIZER_H_
