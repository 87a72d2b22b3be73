#ifndef BLOCKFORMER_DATA_TOKEN_FILE_H_
#define BLOCKFORMER_DATA_TOKEN_FILE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"

namespace blockformer {

// Tokenised documents in the Megatron / Pythia memory-mapped form: PREFIX.bin holds the tokens,
// PREFIX.idx the lengths and offsets. Documents hold no special tokens; end-of-text is added when
// they are packed. Immutable; safe to read from several threads.
class TokenFile {
 public:
  // Opens PREFIX.idx and PREFIX.bin and checks every size and offset in them; throws
  // Error(kCorrupt) that names the file, the value and what would fit. `prefix` may also be the
  // path of either file. Reads u16 and i32 tokens. The ids themselves are not checked: that would
  // read the whole file.
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

// Writes a pair that TokenFile and the published implementation read. Nothing appears under the
// final names before Commit(), and PREFIX.idx appears last, so that a pair is whole or it is not
// there. Keeps the length of every document in memory, and no tokens. Not thread-safe.
class TokenFileWriter {
 public:
  // Ids are below `vocab_size`; tokens are u16 where all ids fit, i32 otherwise.
  TokenFileWriter(const std::string& prefix, int32_t vocab_size);

  // Appends one document. Throws Error: kInvalidArgument for an id outside the vocabulary,
  // kExhausted when the disk is full.
  void Add(std::span<const int32_t> tokens);

  // Writes the index and brings both files to the disk under their temporary names, so that
  // Commit() does not fail for want of space. Call after the last Add(); Commit() does it
  // otherwise.
  void Finish();

  // Replaces the pair of this name, if there is one. Call once, last; without it the destructor
  // removes what was written.
  void Commit();

  int64_t NumDocuments() const { return static_cast<int64_t>(lengths_.size()); }
  int64_t NumTokens() const { return num_tokens_; }

 private:
  void WriteIndex();

  std::string index_path_;
  int32_t vocab_size_;
  bool is_u16_;
  AtomicFile data_;
  AtomicFile index_;
  std::vector<int32_t> lengths_;
  std::vector<uint16_t> narrow_;  // the document that is being written
  int64_t num_tokens_ = 0;
  bool is_finished_ = false;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_TOKEN_FILE_H_
