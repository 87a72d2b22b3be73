#ifndef BLOCKFORMER_TEXT_SPLIT_PATTERN_H_
#define BLOCKFORMER_TEXT_SPLIT_PATTERN_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace blockformer {

// A regular expression of a tokenizer file, which cuts a text into its matches and what lies
// between them. Immutable; safe to use from several threads.
class SplitPattern {
 public:
  // The syntax is PCRE2's, with \s and \S for the property White_Space, and without settings at the
  // pattern's start, such as (*NO_JIT). Throws Error(kUnsupported) that names `source`, the pattern
  // and the fault.
  SplitPattern(const std::string& pattern, const std::string& source);
  SplitPattern(SplitPattern&&) noexcept;
  SplitPattern& operator=(SplitPattern&&) noexcept;
  ~SplitPattern();

  // Walks over the pieces of one text, which is valid UTF-8 and outlives the cursor.
  class Cursor {
   public:
    Cursor(const SplitPattern& pattern, std::string_view text);
    Cursor(const Cursor&) = delete;
    Cursor& operator=(const Cursor&) = delete;
    ~Cursor();

    // The next match or gap; none is empty but the one after the last. Throws Error(kUnsupported)
    // that names the pattern and the limit if the text makes it backtrack too much, in steps, in
    // depth or in memory.
    std::string_view Next();

   private:
    struct Matcher;

    std::unique_ptr<Matcher> matcher_;
    std::string_view text_;
    size_t position_ = 0;     // the end of the last piece
    size_t match_begin_ = 0;  // a match at or after position_
    size_t match_end_ = 0;
    bool searched_ = false;
  };

 private:
  struct Compiled;
  std::unique_ptr<const Compiled> compiled_;
};

// The version of PCRE2, such as "10.42 2022-12-11".
std::string Pcre2Version();

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_SPLIT_PATTERN_H_
