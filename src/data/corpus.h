#ifndef BLOCKFORMER_DATA_CORPUS_H_
#define BLOCKFORMER_DATA_CORPUS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/input_stream.h"
#include "text/tokenizer.h"

namespace blockformer {

// What the files of a corpus hold.
enum class InputFormat {
  kAuto,       // what their names say
  kJsonLines,  // one document a line
  kText,       // one document a file
};

struct CorpusOptions {
  std::string text_field = "text";  // of a JSON line; other fields are ignored
  InputFormat format = InputFormat::kAuto;
  // For the text field of JSON lines. Plain text is passed on as it is.
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kError;
  bool skip_null = false;  // leave out JSON lines whose text is null; an error otherwise
  // A longer line of JSON, or file of plain text, is an error.
  uint64_t max_line_bytes = uint64_t{256} << 20;
  uint64_t max_document_bytes = uint64_t{1} << 30;
};

// A document as it lies in its file.
struct CorpusRecord {
  std::string bytes;  // a line of JSON without its end, or plain text
  bool is_json = false;
  std::string location;  // for messages: "FILE", or "FILE:LINE" with lines from 1
};

// The text of a document, maybe empty; nothing for a null text that options.skip_null leaves out.
// This is most of the work of reading JSON, and several threads may do it at once. Throws Error
// that opens with the location, as JsonRecord does.
std::optional<std::string> ExtractText(CorpusRecord record, const CorpusOptions& options);

// Streams the documents of files in the order given. By the file's name, capital letters or not:
//   .jsonl, .ndjson, .jsonlines, .jl, .json
//                        JSON lines: one document a line, blank lines skipped
//   anything else        plain text: the file is one document, line ends as they are
//   .zst, .zstd or .gz   after it: the same, compressed ("pile.jsonl.zst", "book.txt.gz")
//   "-"                  standard input, JSON lines
// A UTF-8 byte order mark at the start of a file is dropped. Memory: one document, a fixed buffer
// and what decompression takes, whatever the size of the corpus. Not thread-safe.
class CorpusReader {
 public:
  // Throws Error if a file is not there, cannot be read or is a directory.
  explicit CorpusReader(std::vector<std::string> paths, CorpusOptions options = {});

  // Reads the next document; false after the last. Throws Error that opens with the document's
  // location: what InputStream throws, kExhausted for one that is too long, and kInvalidArgument
  // for UTF-16 and for JSON lines in a file whose name says plain text.
  bool NextRecord(CorpusRecord* record);

  // The same, and extracts its text.
  bool Next(std::string* document);

  // Bytes read so far of all files as they are stored, and their total, which is 0 if it is not
  // known because one of them is a pipe.
  uint64_t BytesRead() const;
  uint64_t TotalBytes() const { return total_bytes_; }

 private:
  bool OpenNextFile();
  void DropByteOrderMark();
  void CloseFile();
  bool FillBuffer();
  bool ReadLine(std::string* line);
  void ReadRest(std::string* text);
  void MoveBytes(size_t count, std::string* record);
  void RefuseJsonLines(std::string_view text) const;
  std::string FileName() const;
  std::string Location() const;

  std::vector<std::string> paths_;
  CorpusOptions options_;
  uint64_t total_bytes_ = 0;
  uint64_t closed_bytes_ = 0;  // of the files that are done

  size_t next_path_ = 0;
  std::optional<InputStream> stream_;  // the current file, paths_[next_path_ - 1]
  bool is_json_ = false;
  int64_t line_number_ = 0;
  std::string buffer_;  // bytes [begin_, end_) are not used yet
  size_t begin_ = 0;
  size_t end_ = 0;
};

// Throws Error(kInvalidArgument) if a file cannot be read twice, as a pipe. One that is not there
// is left to its reader.
void RequireReadableTwice(const std::string& path);

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_CORPUS_H_
