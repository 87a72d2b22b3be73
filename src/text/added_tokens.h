#ifndef BLOCKFORMER_TEXT_ADDED_TOKENS_H_
#define BLOCKFORMER_TEXT_ADDED_TOKENS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace blockformer {

// A token that is cut out of the text before BPE sees it.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // left out when decoding without special tokens
  bool normalized = false;   // looked for in the normalised text, else in the text as it came
  bool single_word = false;  // only where no word character stands beside it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // takes the white space after it along
};

// A noncharacter of Unicode: a special token's text behind it is text, see Tokenizer::Shield().
inline constexpr std::string_view kShield = "\xEF\xB7\x90";  // U+FDD0

// Finds added tokens as Hugging Face's tokenizers library does: leftmost first, the longest of
// those that start at one place, without overlap. Immutable; safe to use from several threads.
class AddedTokenMatcher {
 public:
  struct Match {
    size_t begin = 0;
    size_t end = 0;
    int32_t id = 0;
  };

  // If two tokens have the same content, the first counts; tokens without content are left out.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  // The matches in `text` (valid UTF-8) in the order of the text. Time is linear in the length of
  // the text times the length of the longest token. With `shielded`, no special token begins behind
  // kShield.
  std::vector<Match> Find(std::string_view text, bool shielded = false) const;

  // The text with kShield before every place where the text of one of the tokens begins.
  std::string Shield(std::string_view text) const;

 private:
  struct Node {
    std::vector<std::pair<char, uint32_t>> children;  // byte and index; almost always one or none
    int32_t token = -1;                               // index in tokens_, of a token that ends here
  };

  uint32_t Child(uint32_t node, char byte) const;  // 0 if there is none
  void Insert(std::string_view content, int32_t token);
  // Of those that are no special tokens, unless these are taken too.
  int32_t LongestAt(std::string_view text, size_t position, bool special_too) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<bool, 256> starts_{};  // bytes that a token starts with
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_ADDED_TOKENS_H_
