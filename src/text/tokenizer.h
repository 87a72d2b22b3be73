#ifndef BLOCKFORMER_TEXT_TOKENIZER_H_
#define BLOCKFORMER_TEXT_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace blockformer {

// What to do with bytes that are not valid UTF-8.
enum class InvalidUtf8 {
  kError,    // throw Error(kInvalidArgument) that names the offset of the first bad byte
  kReplace,  // each maximal bad part becomes U+FFFD
};

// How the text of a special token, such as "<|endoftext|>", is read in a text that is encoded.
// Added tokens that are not special are tokens in either case.
enum class SpecialTokens {
  kParse,      // the token
  kPlainText,  // text like any other
};

// A BPE tokenizer of bytes, as Hugging Face's tokenizer.json describes it (GPT-NeoX, Llama 3, Qwen,
// SmolLM2) or GPT-2's vocab.json and merges.txt, or of characters with bytes for those it lacks
// (Llama 2, Mistral). Immutable; safe to use from several threads.
class Tokenizer {
 public:
  // `path`: a tokenizer.json, a directory that holds one (or vocab.json + merges.txt, or
  // encoder.json + vocab.bpe), or one file of such a pair. Throws Error that names the file and the
  // field.
  static Tokenizer Load(const std::string& path, SpecialTokens special = SpecialTokens::kParse);
  // The same from the contents of a tokenizer.json; `source` names them in messages.
  static Tokenizer Parse(std::string_view json, const std::string& source,
                         SpecialTokens special = SpecialTokens::kParse);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Time is linear in the length of the text.
  std::vector<int32_t> Encode(std::string_view text,
                              InvalidUtf8 policy = InvalidUtf8::kError) const;

  // The same, with the ids before it that the tokenizer's template puts there, such as that of
  // "<s>": what a model continues, and what it is trained with. Most templates put none.
  std::vector<int32_t> EncodeWithPrefix(std::string_view text) const;
  std::span<const int32_t> Prefix() const;  // those ids

  // For texts made of parts that are not trusted: Shield() marks the texts of special tokens in
  // such a part, by a character before each, and EncodeShielded() encodes the whole. It reads what
  // is marked as text, other special tokens' texts as the tokenizer always does, and drops the
  // marks (U+FDD0, which no text should hold; Shield() drops those of the part itself).
  std::string Shield(std::string_view part) const;
  std::vector<int32_t> EncodeShielded(std::string_view text) const;

  // How often the texts of special tokens occur in the text (valid UTF-8), whichever way they are
  // read.
  int64_t CountSpecialTokens(std::string_view text) const;

  // Ids that do not exist throw Error(kInvalidArgument). The bytes may be invalid UTF-8 where the
  // ids end inside a character; StreamDecoder holds such bytes back. A tokenizer that puts a space
  // before every text drops it from the first token.
  std::string Decode(std::span<const int32_t> ids, bool skip_special = false) const;

  // The same for ids that stand behind others, with all spaces.
  std::string DecodeContinuation(std::span<const int32_t> ids, bool skip_special = false) const;

  // The bytes of one id; empty view if the id does not exist.
  std::string_view TokenBytes(int32_t id) const;
  bool IsSpecial(int32_t id) const;

  // The largest id plus one.
  int32_t VocabSize() const;
  // The ids below VocabSize() that stand for no bytes, in order; most tokenizers have none.
  std::vector<int32_t> MissingIds() const;
  std::optional<int32_t> FindToken(std::string_view content) const;
  // The end-of-text token "<|endoftext|>", if there is one.
  std::optional<int32_t> EndOfText() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

// Throws Error(kCorrupt) that names `directory` if the tokenizer has ids that a model of
// `vocab_size` lacks.
void RequireVocabularyFits(const Tokenizer& tokenizer, int64_t vocab_size,
                           const std::string& directory);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TOKENIZER_H_
