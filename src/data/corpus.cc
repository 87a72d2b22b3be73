#include "data/corpus.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "data/compression.h"
#include "data/json_record.h"

namespace blockformer {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool HoldsJsonLines(std::string_view path, InputFormat format) {
  if (format != InputFormat::kAuto) return format == InputFormat::kJsonLines;
  if (path == kStandardInput) return true;
  const std::string_view name = WithoutCompression(path);
  constexpr std::string_view kEndings[] = {".jsonl", ".ndjson", ".jsonlines", ".jl", ".json"};
  return std::ranges::any_of(kEndings, [&](auto ending) { return HasEnding(name, ending); });
}

// Pipes and devices, which must not be opened twice.
bool CanBeReadOnce(const std::string& path) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  return std::filesystem::is_other(status);
}

// The total size of the files, or 0 if one is not a regular file. Regular files are opened once, so
// that what cannot be read is known before hours of work.
uint64_t CheckFiles(const std::vector<std::string>& paths) {
  uint64_t total = 0;
  bool is_known = true;
  for (const std::string& path : paths) {
    if (path == kStandardInput || CanBeReadOnce(path)) {
      is_known = false;
    } else {
      const InputStream opens(path);
      std::error_code ignored;
      total += std::filesystem::file_size(path, ignored);
    }
  }
  return is_known ? total : 0;
}

}  // namespace

std::optional<std::string> ExtractText(CorpusRecord record, const CorpusOptions& options) {
  if (!record.is_json) return std::move(record.bytes);
  const JsonRecord line(std::move(record.bytes), std::move(record.location));
  if (!line.IsNull(options.text_field)) return line.Text(options.text_field, options.invalid_utf8);
  Require(options.skip_null, ErrorCode::kInvalidArgument,
          "{}: {}: is null; a string is wanted, and `skip_null` leaves such lines out",
          line.place(), options.text_field);
  return std::nullopt;
}

CorpusReader::CorpusReader(std::vector<std::string> paths, CorpusOptions options)
    : paths_(std::move(paths)),
      options_(std::move(options)),
      total_bytes_(CheckFiles(paths_)),
      buffer_(kBufferBytes, '\0') {
  Require(std::ranges::count(paths_, kStandardInput) <= 1, ErrorCode::kInvalidArgument,
          "-: stands twice; standard input can be read once");
}

bool CorpusReader::NextRecord(CorpusRecord* record) {
  while (stream_ || OpenNextFile()) {
    record->is_json = is_json_;
    if (!is_json_) {
      ReadRest(&record->bytes);
    } else if (!ReadLine(&record->bytes)) {
      CloseFile();
      continue;
    }
    record->location = Location();
    if (!is_json_) {
      RefuseJsonLines(record->bytes);
      CloseFile();
    }
    return true;
  }
  return false;
}

bool CorpusReader::Next(std::string* document) {
  CorpusRecord record;
  while (NextRecord(&record)) {
    std::optional<std::string> text = ExtractText(std::move(record), options_);
    if (!text) continue;
    *document = *std::move(text);
    return true;
  }
  return false;
}

// A model would learn the braces.
void CorpusReader::RefuseJsonLines(std::string_view text) const {
  if (options_.format != InputFormat::kAuto || !LooksLikeJsonLines(text)) return;
  Fail(ErrorCode::kInvalidArgument,
       "{}: holds JSON objects, one a line, but its name says plain text; name it .jsonl or give "
       "`input_format` jsonl to read the text in them, or `input_format` text to take it as it is",
       FileName());
}

std::string CorpusReader::FileName() const {
  const std::string& path = paths_[next_path_ - 1];
  return path == kStandardInput ? "standard input" : path;
}

std::string CorpusReader::Location() const {
  return is_json_ ? fmt::format("{}:{}", FileName(), line_number_) : FileName();
}

uint64_t CorpusReader::BytesRead() const {
  return closed_bytes_ + (stream_ ? stream_->bytes_consumed() : 0);
}

bool CorpusReader::OpenNextFile() {
  if (next_path_ == paths_.size()) return false;
  const std::string& path = paths_[next_path_++];
  stream_.emplace(path);
  is_json_ = HoldsJsonLines(path, options_.format);
  line_number_ = 0;
  begin_ = end_ = 0;
  DropByteOrderMark();
  return true;
}

void CorpusReader::DropByteOrderMark() {
  // A stream may give fewer bytes than the mark at once.
  while (end_ < kByteOrderMark.size()) {
    const size_t count = stream_->Read(buffer_.data() + end_, buffer_.size() - end_);
    if (count == 0) break;
    end_ += count;
  }
  const std::string_view start(buffer_.data(), end_);
  Require(!start.starts_with("\xFF\xFE") && !start.starts_with("\xFE\xFF"),
          ErrorCode::kInvalidArgument,
          "{}: begins as UTF-16 does; UTF-8 is wanted: iconv -f UTF-16 -t UTF-8 FILE > TEXT",
          FileName());
  if (start.starts_with(kByteOrderMark)) begin_ = kByteOrderMark.size();
}

void CorpusReader::CloseFile() {
  closed_bytes_ += stream_->bytes_consumed();
  stream_.reset();
}

bool CorpusReader::FillBuffer() {
  begin_ = 0;
  end_ = stream_->Read(buffer_.data(), buffer_.size());
  return end_ > 0;
}

// Moves the next `count` bytes of the buffer to the end of the record.
void CorpusReader::MoveBytes(size_t count, std::string* record) {
  const uint64_t most = is_json_ ? options_.max_line_bytes : options_.max_document_bytes;
  Require(record->size() + count <= most, ErrorCode::kExhausted,
          "{}: a {} of more than {} bytes; split it into several", Location(),
          is_json_ ? "line" : "document", most);
  record->append(buffer_, begin_, count);
  begin_ += count;
}

void CorpusReader::ReadRest(std::string* text) {
  text->clear();
  do {
    MoveBytes(end_ - begin_, text);
  } while (FillBuffer());
}

// Reads the next line that is not blank, without its end; false at the end of the file.
bool CorpusReader::ReadLine(std::string* line) {
  while (true) {
    line->clear();
    ++line_number_;
    bool found = false;
    while (!found && (begin_ < end_ || FillBuffer())) {
      const char* start = buffer_.data() + begin_;
      const void* newline = std::memchr(start, '\n', end_ - begin_);
      found = newline != nullptr;
      MoveBytes(
          found ? static_cast<size_t>(static_cast<const char*>(newline) - start) : end_ - begin_,
          line);
      if (found) ++begin_;
    }
    if (line->find_first_not_of(" \t\r") != std::string::npos) return true;
    if (!found) return false;
  }
}

void RequireReadableTwice(const std::string& path) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  const bool is_stream = path == kStandardInput || (std::filesystem::exists(status) &&
                                                    !std::filesystem::is_regular_file(status));
  Require(!is_stream, ErrorCode::kInvalidArgument,
          "{}: is not a regular file; it is read twice, so that one is wanted", path);
}

}  // namespace blockformer
