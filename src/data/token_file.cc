#include "data/token_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "config/token_file_prefix.h"

namespace blockformer {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

// The header of PREFIX.idx: the magic bytes, u64 version, u8 type code, u64 number of documents,
// u64 entries of the document index. Then come i32 lengths, i64 byte offsets into PREFIX.bin, and
// the i64 document index. The header's 34 bytes leave all of them unaligned.
constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr uint64_t kVersion = 1;
constexpr size_t kVersionOffset = 9;
constexpr size_t kTypeOffset = 17;
constexpr size_t kNumDocumentsOffset = 18;
constexpr size_t kIndexEntriesOffset = 26;
constexpr size_t kHeaderBytes = 34;
constexpr size_t kBytesPerDocument = sizeof(int32_t) + sizeof(int64_t);

enum TypeCode : uint8_t { kInt32Code = 4, kUint16Code = 8 };

constexpr int64_t kUint16Ids = int64_t{1} << 16;

template <typename T>
T Load(const std::byte* address) {
  T value;
  std::memcpy(&value, address, sizeof(T));
  return value;
}

template <typename T>
void Store(AtomicFile& file, T value) {
  file.Write(&value, sizeof(T));
}

std::string DataPath(const std::string& prefix) { return prefix + ".bin"; }
std::string IndexPath(const std::string& prefix) { return prefix + ".idx"; }

}  // namespace

struct TokenFile::Impl {
  explicit Impl(const std::string& path)
      : prefix(TokenFilePrefix(path)), index(IndexPath(prefix)), data(DataPath(prefix)) {
    ReadHeader();
    CheckDocuments();
    CheckDocumentIndex();
  }

  int32_t Length(int64_t document) const {
    return Load<int32_t>(lengths + document * static_cast<int64_t>(sizeof(int32_t)));
  }
  int64_t Offset(int64_t document) const {
    return Load<int64_t>(offsets + document * static_cast<int64_t>(sizeof(int64_t)));
  }

  void ReadHeader();
  void CheckDocuments();
  void CheckDocumentIndex() const;

  std::string prefix;
  MappedFile index;
  MappedFile data;
  int64_t token_bytes = 0;
  int64_t num_documents = 0;
  int64_t num_index_entries = 0;
  int64_t num_tokens = 0;
  const std::byte* lengths = nullptr;
  const std::byte* offsets = nullptr;
  const std::byte* document_index = nullptr;
};

void TokenFile::Impl::ReadHeader() {
  const std::byte* header = index.bytes().data();
  Require(index.size() >= kHeaderBytes && std::memcmp(header, kMagic.data(), kMagic.size()) == 0,
          ErrorCode::kCorrupt,
          "{}: is not the index of a token file: it does not begin with MMIDIDX", index.path());
  const auto version = Load<uint64_t>(header + kVersionOffset);
  Require(version == kVersion, ErrorCode::kUnsupported, "{}: version {}; version {} is read",
          index.path(), version, kVersion);
  const auto type = Load<uint8_t>(header + kTypeOffset);
  Require(type == kUint16Code || type == kInt32Code, ErrorCode::kUnsupported,
          "{}: token type code {}; tokens are read as u16 (code 8) or i32 (code 4)", index.path(),
          type);
  token_bytes = type == kUint16Code ? sizeof(uint16_t) : sizeof(int32_t);

  const auto documents = Load<uint64_t>(header + kNumDocumentsOffset);
  const auto entries = Load<uint64_t>(header + kIndexEntriesOffset);
  const uint64_t body = index.size() - kHeaderBytes;
  // Divisions, so that a hostile count cannot overflow a product.
  const bool fits = documents <= body / kBytesPerDocument &&
                    entries <= (body - documents * kBytesPerDocument) / sizeof(int64_t) &&
                    documents * kBytesPerDocument + entries * sizeof(int64_t) == body;
  Require(
      fits, ErrorCode::kCorrupt,
      "{}: is {} bytes long, which is not what {} documents and {} entries of the document index "
      "take",
      index.path(), index.size(), documents, entries);
  num_documents = static_cast<int64_t>(documents);
  num_index_entries = static_cast<int64_t>(entries);
  lengths = header + kHeaderBytes;
  offsets = lengths + documents * sizeof(int32_t);
  document_index = offsets + documents * sizeof(int64_t);
}

void TokenFile::Impl::CheckDocuments() {
  const auto data_bytes = static_cast<int64_t>(data.size());
  for (int64_t document = 0; document < num_documents; ++document) {
    const int64_t length = Length(document);
    const int64_t offset = Offset(document);
    const bool fits = length >= 0 && offset >= 0 && offset % token_bytes == 0 &&
                      offset <= data_bytes && length <= (data_bytes - offset) / token_bytes;
    Require(fits, ErrorCode::kCorrupt,
            "{}: document {} has {} tokens of {} bytes at byte {}, but {} is {} bytes long",
            index.path(), document, length, token_bytes, offset, data.path(), data_bytes);
    num_tokens += length;
  }
  Require(num_tokens <= data_bytes && num_tokens * token_bytes == data_bytes, ErrorCode::kCorrupt,
          "{}: is {} bytes long, but the {} documents of {} hold {} tokens of {} bytes",
          data.path(), data_bytes, num_documents, index.path(), num_tokens, token_bytes);
}

// Where the index groups sequences into documents, that grouping is not used, as in the published
// implementation; it must make sense all the same.
void TokenFile::Impl::CheckDocumentIndex() const {
  int64_t previous = 0;
  for (int64_t entry = 0; entry < num_index_entries; ++entry) {
    const auto value =
        Load<int64_t>(document_index + entry * static_cast<int64_t>(sizeof(int64_t)));
    Require(value >= previous && value <= num_documents, ErrorCode::kCorrupt,
            "{}: entry {} of the document index is {}; one from {} to {} is possible", index.path(),
            entry, value, previous, num_documents);
    previous = value;
  }
}

TokenFile::TokenFile(const std::string& prefix) : impl_(std::make_unique<Impl>(prefix)) {}
TokenFile::TokenFile(TokenFile&&) noexcept = default;
TokenFile& TokenFile::operator=(TokenFile&&) noexcept = default;
TokenFile::~TokenFile() = default;

int64_t TokenFile::NumDocuments() const { return impl_->num_documents; }
int64_t TokenFile::NumTokens() const { return impl_->num_tokens; }
const std::string& TokenFile::prefix() const { return impl_->prefix; }

int64_t TokenFile::DocumentLength(int64_t document) const {
  Require(document >= 0 && document < impl_->num_documents, ErrorCode::kInvalidArgument,
          "{}: document {}; there are {}", impl_->prefix, document, impl_->num_documents);
  return impl_->Length(document);
}

void TokenFile::ReadTokens(int64_t document, int64_t begin, std::span<int32_t> out) const {
  const int64_t length = DocumentLength(document);
  const auto count = static_cast<int64_t>(out.size());
  Require(begin >= 0 && begin <= length && count <= length - begin, ErrorCode::kInvalidArgument,
          "{}: tokens from {}, {} of them, of document {}, which has {}", impl_->prefix, begin,
          count, document, length);
  const std::byte* source =
      impl_->data.bytes().data() + impl_->Offset(document) + begin * impl_->token_bytes;
  if (impl_->token_bytes == sizeof(int32_t)) {
    if (count > 0) std::memcpy(out.data(), source, out.size_bytes());
    return;
  }
  // A map starts on a page and offsets are multiples of the token's size, so this is aligned.
  std::copy_n(reinterpret_cast<const uint16_t*>(source), count, out.data());
}

TokenFileWriter::TokenFileWriter(const std::string& prefix, int32_t vocab_size)
    : index_path_(IndexPath(prefix)),
      vocab_size_(vocab_size),
      is_u16_(vocab_size <= kUint16Ids),
      data_(DataPath(prefix)),
      index_(index_path_) {}

void TokenFileWriter::Add(std::span<const int32_t> tokens) {
  for (const int32_t id : tokens) {
    Require(id >= 0 && id < vocab_size_, ErrorCode::kInvalidArgument,
            "{}: token {} of document {}; ids from 0 to {} are possible", index_path_, id,
            lengths_.size(), vocab_size_ - 1);
  }
  Require(tokens.size() <= size_t{std::numeric_limits<int32_t>::max()}, ErrorCode::kUnsupported,
          "{}: document {} has {} tokens; at most 2^31 - 1 fit", index_path_, lengths_.size(),
          tokens.size());
  if (is_u16_) {
    narrow_.assign(tokens.begin(), tokens.end());
    data_.Write(narrow_.data(), narrow_.size() * sizeof(uint16_t));
  } else {
    data_.Write(tokens.data(), tokens.size_bytes());
  }
  lengths_.push_back(static_cast<int32_t>(tokens.size()));
  num_tokens_ += static_cast<int64_t>(tokens.size());
}

void TokenFileWriter::WriteIndex() {
  index_.Write(kMagic);
  Store<uint64_t>(index_, kVersion);
  Store<uint8_t>(index_, is_u16_ ? kUint16Code : kInt32Code);
  Store<uint64_t>(index_, lengths_.size());
  Store<uint64_t>(index_, lengths_.size() + 1);
  index_.Write(lengths_.data(), lengths_.size() * sizeof(int32_t));
  const int64_t token_bytes = is_u16_ ? sizeof(uint16_t) : sizeof(int32_t);
  int64_t offset = 0;
  for (const int32_t length : lengths_) {
    Store<int64_t>(index_, offset);
    offset += length * token_bytes;
  }
  for (size_t entry = 0; entry <= lengths_.size(); ++entry) {
    Store<int64_t>(index_, static_cast<int64_t>(entry));
  }
}

void TokenFileWriter::Finish() {
  if (std::exchange(is_finished_, true)) return;
  WriteIndex();
  data_.Sync();
  index_.Sync();
}

void TokenFileWriter::Commit() {
  Finish();
  // An older index must never stand beside the new tokens, not even after a power cut.
  index_.RemoveOld();
  data_.Commit();
  index_.Commit();
}

}  // namespace blockformer
