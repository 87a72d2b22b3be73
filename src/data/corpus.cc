#include "data/corpus.h"

#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "config/json.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool HoldsJsonLines(std::string_view path) {
  if (path == kStandardInput) return true;
  if (path.ends_with(".zst")) path.remove_suffix(4);
  return path.ends_with(".jsonl") || path.ends_with(".json");
}

// The total size of the files, or 0 if one is not a regular file. Regular files are opened once, so
// that what cannot be read is known before hours of work; a pipe must not be opened twice.
uint64_t CheckFiles(const std::vector<std::string>& paths) {
  uint64_t total = 0;
  bool is_known = true;
  for (const std::string& path : paths) {
    std::error_code ignored;
    if (path == kStandardInput || std::filesystem::is_fifo(path, ignored)) {
      is_known = false;
    } else {
      const InputStream opens(path);
      total += std::filesystem::file_size(path, ignored);
    }
  }
  return is_known ? total : 0;
}

}  // namespace

std::string ExtractText(CorpusRecord record, const CorpusOptions& options) {
  if (!record.is_json) return std::move(record.bytes);
  if (options.invalid_utf8 == InvalidUtf8::kReplace) {
    record.bytes = ReplaceInvalidUtf8(record.bytes);
  }
  Json line = ParseJson(record.bytes, record.location);
  Require(line.is_object(), ErrorCode::kCorrupt,
          "{}: an object with the field \"{}\" is wanted, not {}", record.location,
          options.text_field, line.type_name());
  const auto field = line.find(options.text_field);
  Require(field != line.end(), ErrorCode::kCorrupt, "{}: the field \"{}\" is missing",
          record.location, options.text_field);
  Require(field->is_string(), ErrorCode::kCorrupt, "{}: the field \"{}\" is {}, not a string",
          record.location, options.text_field, field->type_name());
  return std::move(field->get_ref<std::string&>());
}

CorpusReader::CorpusReader(std::vector<std::string> paths, CorpusOptions options)
    : paths_(std::move(paths)),
      options_(std::move(options)),
      total_bytes_(CheckFiles(paths_)),
      buffer_(kBufferBytes, '\0') {}

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
    if (!is_json_) CloseFile();
    return true;
  }
  return false;
}

bool CorpusReader::Next(std::string* document) {
  CorpusRecord record;
  if (!NextRecord(&record)) return false;
  *document = ExtractText(std::move(record), options_);
  return true;
}

std::string CorpusReader::Location() const {
  const std::string& path = paths_[next_path_ - 1];
  const std::string name = path == kStandardInput ? "standard input" : path;
  return is_json_ ? fmt::format("{}:{}", name, line_number_) : name;
}

uint64_t CorpusReader::BytesRead() const {
  return closed_bytes_ + (stream_ ? stream_->bytes_consumed() : 0);
}

bool CorpusReader::OpenNextFile() {
  if (next_path_ == paths_.size()) return false;
  const std::string& path = paths_[next_path_++];
  stream_.emplace(path);
  is_json_ = HoldsJsonLines(path);
  line_number_ = 0;
  begin_ = end_ = 0;
  // A file that is shorter than the mark, or arrives in smaller pieces, cannot start with it.
  if (FillBuffer() && std::string_view(buffer_.data(), end_).starts_with(kByteOrderMark)) {
    begin_ = kByteOrderMark.size();
  }
  return true;
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
  Require(record->size() + count <= options_.max_document_bytes, ErrorCode::kExhausted,
          "{}: a document of more than {} bytes; split it into several", Location(),
          options_.max_document_bytes);
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

}  // namespace blockformer
