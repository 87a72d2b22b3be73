#ifndef BLOCKFORMER_TEXT_TOKENIZER_FILE_H_
#define BLOCKFORMER_TEXT_TOKENIZER_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/metaspace.h"

namespace blockformer {

using TokenVocabulary = std::unordered_map<std::string, int32_t>;

// What the files of a tokenizer say, checked: ids are not negative, below kMaxTokenId, and given to
// one token each; merges refer to tokens of the vocabulary.
struct TokenizerDescription {
  // Tokens in the byte alphabet (text/byte_alphabet.h) to ids; added tokens may be among them.
  TokenVocabulary vocabulary;
  std::vector<Merge> merges;                // in order of rank
  std::vector<AddedToken> added_tokens;     // in the file's order
  bool nfc = false;                         // normalise the text first
  bool add_prefix_space = false;            // a text that does not start with a space gets one
  bool gpt2_pattern = true;                 // cut the text with the pattern of GPT-2
  std::vector<std::string> split_patterns;  // regular expressions to cut it with before that
  bool ignore_merges = false;  // a word of the vocabulary is one token, whatever the merges
  // A tokenizer of characters, as SentencePiece's BPE is (Llama 2, Mistral): the vocabulary holds
  // text with U+2581 for spaces, and characters that it lacks are tokens <0xXX> of their bytes.
  // What is said above of the byte alphabet, patterns and normalisation does not apply then.
  std::optional<Metaspace> characters;
  bool strip_first_space = false;  // decoding drops the space that encoding put before a text
  // What the file's template puts before a text. What it puts behind one is left out: the end of
  // text goes where texts are put together.
  std::vector<int32_t> text_prefix;
};

constexpr int32_t kMaxTokenId = (1 << 21) - 1;

// The contents of a tokenizer.json of Hugging Face's tokenizers library. Throws Error that names
// `source` and the field: kUnsupported for what that library can do and this one cannot, kCorrupt
// or kInvalidArgument for contents that contradict themselves.
TokenizerDescription ParseTokenizerJson(std::string_view json, const std::string& source);

// GPT-2's pair of files, vocab.json (encoder.json) and merges.txt (vocab.bpe), by GPT-2's rules.
TokenizerDescription ParseGpt2Files(std::string_view vocabulary,
                                    const std::string& vocabulary_source, std::string_view merges,
                                    const std::string& merges_source);

// Finds and reads the files that `path` stands for, as Tokenizer::Load has it. Beside GPT-2's pair
// a tokenizer_config.json says whose rules hold: `tokenizer_class`, one of PreTokenizerRules(), and
// tokens that are added.
TokenizerDescription ReadTokenizer(const std::string& path);

// A merge as files write it: two tokens of the vocabulary with exactly one space between. `where`
// names the file and the merge in messages.
Merge ParseMerge(const TokenVocabulary& vocabulary, const std::string& text,
                 const std::string& where);

// The contents of a tokenizer.json, in the layout of the Pythia models' file or, for a tokenizer of
// characters, of Llama 2's.
std::string WriteTokenizerJson(const TokenizerDescription& description);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TOKENIZER_FILE_H_
