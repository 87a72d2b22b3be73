#ifndef BLOCKFORMER_TEXT_METASPACE_H_
#define BLOCKFORMER_TEXT_METASPACE_H_

#include <string>
#include <string_view>

namespace blockformer {

// U+2581, which stands for a space in the vocabularies of SentencePiece.
inline constexpr std::string_view kMetaspace = "\xE2\x96\x81";

// Where a text that has no space at its begin gets one.
enum class PrependSpace { kNever, kFirst, kAlways };

// How a tokenizer of characters sees spaces, as Hugging Face's files say it.
struct Metaspace {
  PrependSpace prepend = PrependSpace::kNever;  // kFirst: at the begin of the whole text alone
  bool prepends_twice = false;  // the normalizer Prepend: also where there is a space already
  bool splits = false;          // each space begins a word; if not, all of a text is one
};

// The text with every space replaced and one put before it as `rule` says; `is_first`: it stands at
// the begin of the whole text. An empty text stays so.
std::string ToMetaspace(std::string_view text, const Metaspace& rule, bool is_first);

// The bytes that a token of such a vocabulary stands for: spaces, and <0xXX> a byte.
std::string FromMetaspace(std::string_view token);

// "<0x0A>".
std::string ByteToken(unsigned char byte);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_METASPACE_H_
