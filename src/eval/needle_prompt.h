#ifndef BLOCKFORMER_EVAL_NEEDLE_PROMPT_H_
#define BLOCKFORMER_EVAL_NEEDLE_PROMPT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus.h"
#include "text/tokenizer.h"

namespace blockformer {

// Needle in a haystack: a sentence that states a fact is put into running text, and the model is to
// repeat the fact at the end of it.

// What a prompt ends with, behind the haystack. Either leaves the model before the number.
enum class NeedleForm {
  kQuestion,      // an empty line, "Question: What is the magic number of CITY?", and on the next
                  // line "Answer: The magic number of CITY is"
  kContinuation,  // " The magic number of CITY is", as in the needle
};

inline constexpr int64_t kNeedleNewTokens = 20;  // generated after each prompt

struct NeedleOptions {
  NeedleForm form = NeedleForm::kQuestion;
  std::vector<int64_t> lengths;  // tokens of the prompt and what is generated after it
  std::vector<double> depths = {0, 0.25, 0.5, 0.75, 1};  // share of the haystack before the needle
  int64_t samples = 10;                                  // prompts for each length and depth
  uint64_t seed = 0;
};

// Running text as a tokenizer's ids.
struct Haystack {
  std::vector<int32_t> tokens;
  // Where a token begins with the space behind a sentence or paragraph, ascending; then the end.
  std::vector<int64_t> sentence_ends;
};

struct NeedlePrompt {
  int64_t length = 0;  // one of options.lengths
  double depth = 0;    // one of options.depths
  double placed = 0;   // the share of the haystack that is before the needle
  std::string city;
  std::string digits;  // the answer: seven of them
  std::vector<int32_t> tokens;
};

const char* NeedleFormName(NeedleForm form);  // "question", "continuation"
// Throws Error(kInvalidArgument) that opens with `flag`.
NeedleForm ParseNeedleForm(const std::string& flag, const std::string& name);

// The documents of text files, read as CorpusReader does, with an empty line between them; what
// follows after a few million bytes is left out, since samples do not need more. Throws Error that
// names the file: also kCorrupt for plain text that is not valid UTF-8.
std::string ReadHaystack(const std::vector<std::string>& paths, const CorpusOptions& options = {});

Haystack EncodeHaystack(const Tokenizer& tokenizer, std::string_view text);

// " The magic number of CITY is DIGITS."
std::string NeedleSentence(const std::string& city, const std::string& digits);
std::string NeedleEnding(NeedleForm form, const std::string& city);

// All prompts: for each depth, for each length, `samples` of them. A prompt has exactly
// length - kNeedleNewTokens tokens: those of a piece of the haystack that ends with a sentence, of
// the needle in it, and of the ending. The needle lies at the sentence end nearest to the depth; if
// none is within an eighth of the piece, at the depth itself. The samples of a cell, that is of a
// length and a depth, have different cities (while there are enough), digits and pieces. They
// depend on the seed, the cell and the tokenizer alone. Throws Error(kInvalidArgument) that names
// the flag for options out of range, and for a haystack that is too short.
std::vector<NeedlePrompt> MakeNeedlePrompts(const Tokenizer& tokenizer, const Haystack& haystack,
                                            const NeedleOptions& options);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_NEEDLE_PROMPT_H_
