#ifndef BLOCKFORMER_DATA_TOKEN_FILE_H_
#define BLOCKFORMER_DATA_TOKEN_FILE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace blockformer {

// Tokenised documents in the Megatron / Pythia memory-mapped form: PREFIX.bin holds the tokens,
// PREFIX.idx the lengths and offsets. Documents hold no special tokens; end-of-text is added when
// they are packed. Immutable; safe to read from several threads.
class TokenFile {
 public:
  // Opens PREFIX.idx and PREFIX.bin and checks every size and offset in them. `prefix` may also be
  // the path of either file. Reads u16 and i32 tokens.
  explicit TokenFile(const std::string& prefix);
  TokenFile(TokenFile&&) noexcept;
  TokenFile& operator=(TokenFile&&) noexcept;
  ~TokenFile();

  int64_t NumDocuments() const;
  int64_t NumTokens() const;
  int64_t DocumentLength(int64_t document) const;
  // Copies tokens [begin, begin + out.size()) of a document.
  void ReadTokens(int64_t document, int64_t begin, std::span<int32_t> out) const;
  const std::string& prefix() const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_TOKEN_FILE_H_
