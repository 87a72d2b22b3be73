#ifndef BLOCKFORMER_DATA_PREPARE_H_
#define BLOCKFORMER_DATA_PREPARE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "data/token_file_info.h"
#include "text/tokenizer.h"

namespace blockformer {

struct PrepareOptions {
  std::vector<std::string> inputs;  // as CorpusReader takes them
  CorpusOptions corpus;
  std::string tokenizer_path;  // recorded beside the tokens
  std::string output_prefix;
  bool force = false;  // replace files that are there
  // The share of documents that is held out for validation, 0 to 0.5: of every
  // round(1 / fraction) documents in a row one is, and the seed says which.
  double validation_fraction = 0;
  uint64_t seed = 0;
  int threads = 1;
};

struct PrepareProgress {
  uint64_t bytes_read = 0;   // of the input files as they are stored
  uint64_t total_bytes = 0;  // 0 if not known
  int64_t documents = 0;
  int64_t tokens = 0;
};

struct PrepareSummary {
  TokenFileInfo train;
  std::optional<TokenFileInfo> validation;
  int64_t empty_documents = 0;  // left out, as they hold no token
  int64_t null_documents = 0;   // left out, as CorpusOptions::skip_null asks
  // Texts of special tokens in the documents, whatever the tokenizer makes of them.
  int64_t special_tokens = 0;
};

// Where the documents that are held out go: "PREFIX-valid".
std::string ValidationPrefix(const std::string& output_prefix);

// Tokenises a corpus into PREFIX.bin, .idx and .json, and PREFIX-valid.* if documents are held out.
// The files are the same for any number of threads, documents in the order of the input. Memory:
// about 8 MiB of text a thread and its tokens (or one longer document), and 4 bytes a document.
// `on_progress` is called several times a second by the calling thread; it may throw to stop the
// work. Nothing appears under the final names before all is done. Throws Error: what CorpusReader,
// the tokenizer (naming the document) and TokenFileWriter throw; kInvalidArgument if a file would
// hold no document, and for files that CheckOutputs() refuses, before any text is read.
PrepareSummary PrepareTokenFiles(const Tokenizer& tokenizer, const PrepareOptions& options,
                                 const std::function<void(const PrepareProgress&)>& on_progress);

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_PREPARE_H_
