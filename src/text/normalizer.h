#ifndef BLOCKFORMER_TEXT_NORMALIZER_H_
#define BLOCKFORMER_TEXT_NORMALIZER_H_

#include <string>
#include <string_view>

namespace blockformer {

// Unicode normalisation form C of valid UTF-8 (Unicode Standard Annex 15). Returns `text` itself if
// it is in that form already, else a view of `*storage`, which then holds the result. Time is
// linear in the length of the text but for sorting runs of combining marks.
std::string_view NormalizeNfc(std::string_view text, std::string* storage);

// The version of utf8proc, such as "2.8.0".
std::string Utf8procVersion();

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_NORMALIZER_H_
