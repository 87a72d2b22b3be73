#include "checkpoint/gguf_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kOldestVersion = 2;
constexpr uint32_t kNewestVersion = 3;
constexpr char kAlignmentKey[] = "general.alignment";
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 16;
constexpr uint64_t kMaxNameBytes = (1 << 16) - 1;  // of a key or tensor, as the format has it
// The most elements of all lists together; a vocabulary of 256,000 tokens has about 1.3 million.
constexpr uint64_t kMaxElements = 1 << 23;
constexpr uint64_t kMaxGgufDimensions = 4;
// What a key or a tensor takes at least, so that counts can be told from nonsense.
constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

// Numbers of the types of values in the format.
enum ValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// Reads a header from begin to end; nothing beyond the file.
class GgufHeader {
 public:
  GgufHeader(std::span<const std::byte> bytes, const std::string& path)
      : bytes_(bytes), path_(path) {}

  template <typename T>
  T Number(const std::string& what) {
    RequireLeft(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  std::string Text(const std::string& what, uint64_t max_bytes) {
    const auto length = Number<uint64_t>(what);
    Require(length <= max_bytes && length <= Left(), ErrorCode::kCorrupt,
            "{}: {}: a text of {} bytes is not possible; {} follow in the file", path_, what,
            length, Left());
    std::string text(reinterpret_cast<const char*>(bytes_.data()) + position_, length);
    const size_t valid = FindInvalidUtf8(text);
    Require(valid == text.size(), ErrorCode::kCorrupt,
            "{}: {}: byte {} of the text is not valid UTF-8", path_, what, valid);
    position_ += length;
    return text;
  }

  // The name of a key or a tensor.
  std::string Name(const std::string& what) {
    std::string name = Text(what, kMaxNameBytes);
    Require(!name.empty(), ErrorCode::kCorrupt, "{}: {}: is empty", path_, what);
    return name;
  }

  uint64_t Count(const std::string& what, uint64_t min_bytes_each) {
    const auto count = Number<uint64_t>(what);
    Require(count <= Left() / min_bytes_each, ErrorCode::kCorrupt,
            "{}: {}: {} do not fit into the {} bytes that follow (is it whole?)", path_, what,
            count, Left());
    return count;
  }

  Json Value(const std::string& key) {
    const auto type = Number<uint32_t>(key);
    return type == kArray ? List(key) : Scalar(type, key);
  }

  uint64_t position() const { return position_; }

 private:
  uint64_t Left() const { return bytes_.size() - position_; }

  void RequireLeft(uint64_t bytes, const std::string& what) const {
    Require(bytes <= Left(), ErrorCode::kCorrupt, "{}: {}: the file ends there, at byte {}", path_,
            what, bytes_.size());
  }

  Json List(const std::string& key) {
    const auto type = Number<uint32_t>(key);
    Require(type != kArray, ErrorCode::kUnsupported, "{}: {}: lists of lists are not supported",
            path_, key);
    const uint64_t count = Count(key, 1);
    Require(count <= kMaxElements - elements_, ErrorCode::kUnsupported,
            "{}: {}: a list of {} elements is too long; all lists together may have {}", path_, key,
            count, kMaxElements);
    elements_ += count;
    Json::array_t list;
    for (uint64_t i = 0; i < count; ++i) list.push_back(Scalar(type, key));
    return list;
  }

  Json Scalar(uint32_t type, const std::string& key) {
    switch (type) {
      case kUint8:
        return Number<uint8_t>(key);
      case kInt8:
        return Number<int8_t>(key);
      case kUint16:
        return Number<uint16_t>(key);
      case kInt16:
        return Number<int16_t>(key);
      case kUint32:
        return Number<uint32_t>(key);
      case kInt32:
        return Number<int32_t>(key);
      case kFloat32:
        return Number<float>(key);
      case kBool:
        return Bool(key);
      case kString:
        return Text(key, UINT64_MAX);
      case kUint64:
        return Number<uint64_t>(key);
      case kInt64:
        return Number<int64_t>(key);
      case kFloat64:
        return Number<double>(key);
      default:
        Fail(ErrorCode::kCorrupt, "{}: {}: there is no type {} of values; 0 to {} are", path_, key,
             type, static_cast<uint32_t>(kFloat64));
    }
  }

  bool Bool(const std::string& key) {
    const auto byte = Number<uint8_t>(key);
    Require(byte <= 1, ErrorCode::kCorrupt, "{}: {}: {} is no boolean; 0 or 1 is", path_, key,
            byte);
    return byte == 1;
  }

  std::span<const std::byte> bytes_;
  const std::string& path_;
  uint64_t position_ = 0;
  uint64_t elements_ = 0;  // of lists so far
};

void CheckVersion(GgufHeader* header, const std::string& path) {
  const auto version = header->Number<uint32_t>("version");
  Require(__builtin_bswap32(version) > kNewestVersion, ErrorCode::kUnsupported,
          "{}: is a big-endian file, which is not supported", path);
  Require(version >= kOldestVersion && version <= kNewestVersion, ErrorCode::kUnsupported,
          "{}: version {} of GGUF is not supported; {} and {} are", path, version, kOldestVersion,
          kNewestVersion);
}

uint64_t AlignmentOf(const Json& metadata, const std::string& path) {
  const ObjectReader reader(metadata, path);
  const auto alignment = static_cast<uint64_t>(
      reader.Int(kAlignmentKey, 8, kMaxAlignment, static_cast<int64_t>(kDefaultAlignment)));
  if (!std::has_single_bit(alignment)) {
    reader.FailField(kAlignmentKey, fmt::format("{} is no power of two", alignment),
                     ErrorCode::kCorrupt);
  }
  return alignment;
}

// A tensor of which the header has been read, and not the data.
struct TensorEntry {
  std::string name;
  GgufTensor tensor;
  uint64_t offset = 0;  // in the data
  uint64_t size = 0;
};

TensorEntry ReadTensor(GgufHeader* header, const std::string& path) {
  TensorEntry entry;
  entry.name = header->Name("a tensor's name");
  const std::string where = fmt::format("{}: tensor {}", path, entry.name);
  const std::string what = "tensor " + entry.name;
  const auto dimensions = header->Number<uint32_t>(what);
  Require(dimensions >= 1 && dimensions <= kMaxGgufDimensions, ErrorCode::kCorrupt,
          "{}: {} dimensions are not possible; 1 to {} are", where, dimensions, kMaxGgufDimensions);
  int64_t elements = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto size = header->Number<uint64_t>(what);
    const bool fits = size >= 1 && size <= INT64_MAX &&
                      !__builtin_mul_overflow(elements, static_cast<int64_t>(size), &elements);
    Require(fits, ErrorCode::kCorrupt, "{}: a dimension of {} is not possible", where, size);
    entry.tensor.shape.push_back(static_cast<int64_t>(size));
  }
  const int64_t row = entry.tensor.shape.front();
  std::ranges::reverse(entry.tensor.shape);
  const GgmlType& type = GgmlTypeOf(header->Number<uint32_t>(what), where);
  entry.tensor.type = &type;
  Require(row % type.block_elements == 0, ErrorCode::kCorrupt,
          "{}: rows of {} are not possible; those of {} are multiples of {}", where, row, type.name,
          type.block_elements);
  const bool fits = !__builtin_mul_overflow(static_cast<uint64_t>(elements / type.block_elements),
                                            static_cast<uint64_t>(type.block_bytes), &entry.size);
  Require(fits, ErrorCode::kCorrupt, "{}: [{}] is too large", where,
          fmt::join(entry.tensor.shape, ", "));
  entry.offset = header->Number<uint64_t>(what);
  return entry;
}

void PlaceTensor(std::span<const std::byte> data, uint64_t alignment, const std::string& path,
                 TensorEntry* entry) {
  Require(entry->offset % alignment == 0, ErrorCode::kCorrupt,
          "{}: tensor {}: offset {} is no multiple of the alignment {}", path, entry->name,
          entry->offset, alignment);
  Require(entry->offset <= data.size() && entry->size <= data.size() - entry->offset,
          ErrorCode::kCorrupt,
          "{}: tensor {}: bytes {} to {} of the data are beyond its end at {} (is it whole?)", path,
          entry->name, entry->offset, entry->offset + entry->size, data.size());
  entry->tensor.bytes = data.subspan(entry->offset, entry->size);
}

void RequireNoOverlap(std::vector<TensorEntry>* entries, const std::string& path) {
  std::ranges::sort(*entries, {}, &TensorEntry::offset);
  for (size_t i = 1; i < entries->size(); ++i) {
    const TensorEntry& before = (*entries)[i - 1];
    const TensorEntry& entry = (*entries)[i];
    Require(before.offset + before.size <= entry.offset, ErrorCode::kCorrupt,
            "{}: tensor {}: overlaps {}", path, entry.name, before.name);
  }
}

}  // namespace

int64_t GgufTensor::NumElements() const {
  return static_cast<int64_t>(bytes.size()) / type->block_bytes * type->block_elements;
}

bool GgufFile::IsGguf(const std::string& path) { return FileBeginsWith(path, kMagic); }

GgufFile::GgufFile(const std::string& path) : file_(path), metadata_(Json::object()) {
  const std::span<const std::byte> bytes = file_.bytes();
  const bool has_magic =
      bytes.size() >= kMagic.size() && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
  Require(has_magic, ErrorCode::kCorrupt, "{}: is no GGUF file, which begins with \"{}\"", path,
          kMagic);
  GgufHeader header(bytes, path);
  header.Number<uint32_t>("magic");
  CheckVersion(&header, path);
  const uint64_t num_tensors = header.Count("the number of tensors", kMinTensorBytes);
  const uint64_t num_keys = header.Count("the number of keys", kMinKeyBytes);
  for (uint64_t i = 0; i < num_keys; ++i) {
    const std::string key = header.Name("a key");
    Require(!metadata_.contains(key), ErrorCode::kCorrupt, "{}: {}: stands twice", path, key);
    metadata_[key] = header.Value(key);
  }
  const uint64_t alignment = AlignmentOf(metadata_, path);
  std::vector<TensorEntry> entries;
  for (uint64_t i = 0; i < num_tensors; ++i) entries.push_back(ReadTensor(&header, path));

  const uint64_t padded = (header.position() + alignment - 1) / alignment * alignment;
  const auto data = bytes.subspan(std::min<uint64_t>(padded, bytes.size()));
  for (TensorEntry& entry : entries) {
    PlaceTensor(data, alignment, path, &entry);
    Require(tensors_.emplace(entry.name, entry.tensor).second, ErrorCode::kCorrupt,
            "{}: tensor {}: stands twice", path, entry.name);
  }
  RequireNoOverlap(&entries, path);
}

}  // namespace blockformer
