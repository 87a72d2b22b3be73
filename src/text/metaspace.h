#ifndef BLOCKFORMER_TEXT_METASPACE_H_
#define BLOCKFORMER_TEXT_METASPACE_H_

#include <string>
#include <string_view>

namespace blockformer {

// U+2581, which stands for a space in the vocabularies of SentencePiece.
inline constexpr std::string_view kMetaspace = "\xE2\x96\x81";

// Where a text that does not begin with a space gets one put before it.
enum class PrependSpace { kNever, kFirst, kAlways };

// How a tokenizer of characters sees spaces, as Hugging Face's files say it.
struct Metaspace {
  PrependSpace prepend = PrependSpace::kNever;  // kFirst: at the begin of the whole text alone
  bool prepends_twice = false;  // the normalizer Prepend: also where there is a space already
  bool splits = false;          // each space begins a word; if not, all of a text is one
};

// Replaces every space of the text, and puts one before it as `rule` says; `is_first` if it is the
// beginning of the whole text. An empty text stays empty.
std::string ToMetaspace(std::string_view text, const Metaspace& rule, bool is_first);

// The bytes that a token of such a vocabulary stands for: a space for each U+2581, and a single
// byte for a token <0xXX>.
std::string FromMetaspace(std::string_view token);

// "<0x0A>".
std::string ByteToken(unsigned char byte);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_METASPACE_H_
