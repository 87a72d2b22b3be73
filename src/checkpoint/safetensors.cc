#include "checkpoint/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "base/bf16.h"
#include "base/error.h"
#include "checkpoint/half.h"
#include "config/json.h"

namespace blockformer {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the safetensors library
constexpr uint64_t kAlignment = 8;
constexpr size_t kMaxDimensions = 8;

struct DataTypeInfo {
  DataType type;
  const char* name;
  int64_t bytes;
};

constexpr DataTypeInfo kDataTypes[] = {{DataType::kF64, "F64", 8}, {DataType::kF32, "F32", 4},
                                       {DataType::kF16, "F16", 2}, {DataType::kBF16, "BF16", 2},
                                       {DataType::kI64, "I64", 8}, {DataType::kI32, "I32", 4},
                                       {DataType::kI16, "I16", 2}, {DataType::kI8, "I8", 1},
                                       {DataType::kU8, "U8", 1},   {DataType::kBool, "BOOL", 1}};

const DataTypeInfo& InfoOf(DataType type) {
  for (const DataTypeInfo& info : kDataTypes) {
    if (info.type == type) return info;
  }
  Fail(ErrorCode::kInternal, "data type {} has no entry", static_cast<int>(type));
}

uint16_t FloatToHalf(float value) {
  constexpr float kSmallestNormal = 0x1p-14f;
  constexpr float kSubnormalUnit = 0x1p-24f;
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  if (std::isinf(value)) return sign | 0x7c00;
  if (std::fabs(value) < kSmallestNormal) {  // a multiple of 2^-24; 1024 of them are normal again
    return sign | static_cast<uint16_t>(std::nearbyint(std::fabs(value) / kSubnormalUnit));
  }
  // The exponent's bias is 112 less; a carry out of the fraction raises the exponent.
  const uint32_t rounded = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  return static_cast<uint16_t>(sign | std::min(rounded, 0x7c00u));
}

// Stores elements at any address; returns whether all that were finite still are.
template <typename Convert>
bool StoreAll(std::span<const float> values, uint16_t infinity, Convert convert,
              std::span<std::byte> out) {
  bool fits = true;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = convert(values[i]);
    std::memcpy(out.data() + i * sizeof(bits), &bits, sizeof(bits));
    fits = fits && ((bits & 0x7fff) != infinity || std::isinf(values[i]));
  }
  return fits;
}

// Converts elements that may lie at any address: safetensors does not promise alignment.
template <typename Stored, typename Out, typename Convert>
void ConvertAll(std::span<const std::byte> bytes, std::span<Out> out, Convert convert) {
  for (size_t i = 0; i < out.size(); ++i) {
    Stored value;
    std::memcpy(&value, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = convert(value);
  }
}

template <typename Stored>
void WidenAll(std::span<const std::byte> bytes, std::span<int64_t> out) {
  ConvertAll<Stored>(bytes, out, [](Stored value) { return static_cast<int64_t>(value); });
}

void RequireSize(const TensorView& tensor, const std::string& name, size_t out_size) {
  Require(static_cast<size_t>(tensor.NumElements()) == out_size, ErrorCode::kInvalidArgument,
          "{}: has {} elements where {} are wanted", name, tensor.NumElements(), out_size);
}

// Reads the entries of a header and checks them against the data that follows it.
class HeaderReader {
 public:
  HeaderReader(const std::string& path, std::span<const std::byte> data)
      : path_(path), data_(data) {}

  TensorView ReadTensor(const std::string& name, const Json& entry) const {
    RequireTensor(entry.is_object(), name, "is not an object");
    TensorView tensor;
    const Json* dtype = Field(name, entry, "dtype");
    RequireTensor(dtype->is_string(), name, "dtype is not a string");
    tensor.type = ReadType(name, dtype->get<std::string>());
    tensor.shape = ReadShape(name, *Field(name, entry, "shape"));
    const auto [begin, end] = ReadOffsets(name, *Field(name, entry, "data_offsets"));
    tensor.bytes = data_.subspan(begin, end - begin);
    const uint64_t wanted = ShapeBytes(name, tensor);
    RequireTensor(
        wanted == end - begin, name,
        fmt::format("its shape needs {} bytes and data_offsets give {}", wanted, end - begin));
    return tensor;
  }

  // Tensors must cover the data exactly: no gap, no overlap, nothing behind.
  void CheckTiling(const std::map<std::string, TensorView>& tensors) const {
    std::map<size_t, std::pair<size_t, std::string>> ranges;  // begin -> (end, name)
    for (const auto& [name, tensor] : tensors) {
      if (tensor.bytes.empty()) continue;
      const size_t begin = tensor.bytes.data() - data_.data();
      const auto [other, inserted] = ranges.try_emplace(begin, begin + tensor.bytes.size(), name);
      RequireTensor(inserted, name, "overlaps " + other->second.second);
    }
    size_t covered = 0;
    for (const auto& [begin, range] : ranges) {
      RequireTensor(
          begin == covered, range.second,
          fmt::format("starts at byte {} of the data where {} is due (a gap or an overlap)", begin,
                      covered));
      covered = range.first;
    }
    Require(covered == data_.size(), ErrorCode::kCorrupt,
            "{}: the tensors cover {} bytes of data and the file holds {}", path_, covered,
            data_.size());
  }

 private:
  void RequireTensor(bool condition, const std::string& name, const std::string& problem) const {
    Require(condition, ErrorCode::kCorrupt, "{}: tensor {}: {}", path_, name, problem);
  }

  const Json* Field(const std::string& name, const Json& entry, const char* key) const {
    const auto found = entry.find(key);
    RequireTensor(found != entry.end(), name, fmt::format("{} is missing", key));
    return &*found;
  }

  DataType ReadType(const std::string& name, const std::string& text) const {
    for (const DataTypeInfo& info : kDataTypes) {
      if (text == info.name) return info.type;
    }
    Fail(ErrorCode::kUnsupported, "{}: tensor {}: dtype {} is not supported", path_, name, text);
  }

  std::vector<int64_t> ReadShape(const std::string& name, const Json& value) const {
    RequireTensor(value.is_array() && value.size() <= kMaxDimensions, name,
                  fmt::format("shape is not a list of at most {} sizes", kMaxDimensions));
    std::vector<int64_t> shape;
    for (const Json& size : value) {
      RequireTensor(size.is_number_unsigned() && size.get<uint64_t>() <= INT64_MAX, name,
                    "shape holds something that is not a size");
      shape.push_back(size.get<int64_t>());
    }
    return shape;
  }

  std::pair<uint64_t, uint64_t> ReadOffsets(const std::string& name, const Json& value) const {
    const bool pair = value.is_array() && value.size() == 2 && value[0].is_number_unsigned() &&
                      value[1].is_number_unsigned();
    RequireTensor(pair, name, "data_offsets is not a pair of byte offsets");
    const uint64_t begin = value[0].get<uint64_t>();
    const uint64_t end = value[1].get<uint64_t>();
    RequireTensor(begin <= end && end <= data_.size(), name,
                  fmt::format("data_offsets [{}, {}] do not lie in the {} bytes of data", begin,
                              end, data_.size()));
    return {begin, end};
  }

  uint64_t ShapeBytes(const std::string& name, const TensorView& tensor) const {
    uint64_t bytes = static_cast<uint64_t>(ElementBytes(tensor.type));
    bool empty = false;
    for (const int64_t size : tensor.shape) empty = empty || size == 0;
    if (empty) return 0;
    for (const int64_t size : tensor.shape) {
      RequireTensor(!__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes), name,
                    "shape is absurdly large");
    }
    return bytes;
  }

  const std::string& path_;
  std::span<const std::byte> data_;
};

std::map<std::string, std::string> ReadMetadata(const std::string& path, const Json& json) {
  Require(json.is_object(), ErrorCode::kCorrupt, "{}: __metadata__ is not an object", path);
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : json.items()) {
    Require(value.is_string(), ErrorCode::kCorrupt, "{}: __metadata__.{} is not a string", path,
            key);
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

}  // namespace

float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t fraction = half & 0x3ff;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t widened = exponent == 31 ? 0xff : exponent + (127 - 15);
  return std::bit_cast<float>(sign | widened << 23 | fraction << 13);
}

int64_t ElementBytes(DataType type) { return InfoOf(type).bytes; }

const char* DataTypeName(DataType type) { return InfoOf(type).name; }

int64_t TensorView::NumElements() const {
  return static_cast<int64_t>(bytes.size()) / ElementBytes(type);
}

void ConvertToFloat(const TensorView& tensor, const std::string& name, std::span<float> out) {
  RequireSize(tensor, name, out.size());
  switch (tensor.type) {
    case DataType::kF32:
      if (!out.empty()) std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
      return;
    case DataType::kF16:
      return ConvertAll<uint16_t>(tensor.bytes, out, HalfToFloat);
    case DataType::kBF16:
      return ConvertAll<uint16_t>(tensor.bytes, out, FromBf16);
    case DataType::kF64:
      return ConvertAll<double>(tensor.bytes, out,
                                [](double value) { return static_cast<float>(value); });
    default:
      Fail(ErrorCode::kInvalidArgument, "{}: is {} where a floating-point type is wanted", name,
           DataTypeName(tensor.type));
  }
}

void ConvertToInt64(const TensorView& tensor, const std::string& name, std::span<int64_t> out) {
  RequireSize(tensor, name, out.size());
  switch (tensor.type) {
    case DataType::kI64:
      return WidenAll<int64_t>(tensor.bytes, out);
    case DataType::kI32:
      return WidenAll<int32_t>(tensor.bytes, out);
    case DataType::kI16:
      return WidenAll<int16_t>(tensor.bytes, out);
    case DataType::kI8:
      return WidenAll<int8_t>(tensor.bytes, out);
    case DataType::kU8:
    case DataType::kBool:
      return WidenAll<uint8_t>(tensor.bytes, out);
    default:
      Fail(ErrorCode::kInvalidArgument, "{}: is {} where an integer type is wanted", name,
           DataTypeName(tensor.type));
  }
}

void RequireFinite(std::span<const float> values, const std::string& name, size_t first) {
  constexpr uint32_t kExponent = 0x7f800000;  // all ones in infinities and NaN
  // Without a way out, so that the compiler makes vectors of the loop.
  uint32_t any = 0;
  for (const float value : values) {
    any |= static_cast<uint32_t>((std::bit_cast<uint32_t>(value) & kExponent) == kExponent);
  }
  if (any == 0) return;
  const auto bad =
      std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
  Fail(ErrorCode::kCorrupt,
       "{}: element {} is {}; weights are finite numbers, so the file is damaged or its training "
       "diverged",
       name, first + static_cast<size_t>(bad - values.begin()), *bad);
}

bool ConvertFromFloat(std::span<const float> values, DataType type, std::span<std::byte> out) {
  Require(out.size() == values.size() * ElementBytes(type), ErrorCode::kInternal,
          "{} bytes are not the room for {} values of {}", out.size(), values.size(),
          DataTypeName(type));
  switch (type) {
    case DataType::kF32:
      if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
      return true;
    case DataType::kF16:
      return StoreAll(values, 0x7c00, FloatToHalf, out);
    case DataType::kBF16:
      return StoreAll(values, 0x7f80, ToBf16, out);
    default:
      Fail(ErrorCode::kInternal, "values are not written as {}", DataTypeName(type));
  }
}

std::vector<float> ToFloats(const TensorView& tensor, const std::string& name) {
  std::vector<float> values(tensor.NumElements());
  ConvertToFloat(tensor, name, values);
  return values;
}

std::vector<int64_t> ToInt64s(const TensorView& tensor, const std::string& name) {
  std::vector<int64_t> values(tensor.NumElements());
  ConvertToInt64(tensor, name, values);
  return values;
}

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  const std::span<const std::byte> bytes = file_.bytes();
  uint64_t header_size = 0;
  Require(bytes.size() >= sizeof(header_size), ErrorCode::kCorrupt,
          "{}: {} bytes are too few for a safetensors file", path, bytes.size());
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  Require(
      header_size <= kMaxHeaderBytes && header_size <= bytes.size() - sizeof(header_size),
      ErrorCode::kCorrupt,
      "{}: a header of {} bytes does not fit the file of {} bytes (is it a safetensors file, and "
      "whole?)",
      path, header_size, bytes.size());
  const auto header = bytes.subspan(sizeof(header_size), header_size);
  const Json json =
      ParseJson({reinterpret_cast<const char*>(header.data()), header.size()}, path + ": header");
  Require(json.is_object(), ErrorCode::kCorrupt, "{}: the header is not a JSON object", path);

  const HeaderReader reader(path, bytes.subspan(sizeof(header_size) + header_size));
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") {
      metadata_ = ReadMetadata(path, entry);
    } else {
      tensors_.emplace(name, reader.ReadTensor(name, entry));
    }
  }
  reader.CheckTiling(tensors_);
}

const TensorView& SafetensorsFile::Get(const std::string& name) const {
  const auto found = tensors_.find(name);
  Require(found != tensors_.end(), ErrorCode::kCorrupt, "{}: there is no tensor {}", path(), name);
  return found->second;
}

uint64_t TensorHeader::NumBytes() const {
  auto bytes = static_cast<uint64_t>(ElementBytes(type));
  for (const int64_t size : shape) bytes *= static_cast<uint64_t>(size);
  return bytes;
}

SafetensorsWriter::SafetensorsWriter(const std::string& path,
                                     const std::vector<TensorHeader>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::unordered_set<std::string> names;
  uint64_t offset = 0;
  for (const TensorHeader& tensor : tensors) {
    Require(names.insert(tensor.name).second, ErrorCode::kInternal,
            "{}: tensor {} is to be written twice", path, tensor.name);
    const uint64_t end = offset + tensor.NumBytes();
    header.push_back({tensor.name,
                      {{"dtype", DataTypeName(tensor.type)},
                       {"shape", tensor.shape},
                       {"data_offsets", {offset, end}}}});
    offset = end;
  }
  std::string text = header.dump();
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  const uint64_t header_size = text.size();
  file_.Write(&header_size, sizeof(header_size));
  file_.Write(text);
  expected_bytes_ = file_.bytes_written() + offset;
}

void SafetensorsWriter::Commit() {
  Require(file_.bytes_written() == expected_bytes_, ErrorCode::kInternal,
          "{} bytes of a safetensors file were written; its header asks for {}",
          file_.bytes_written(), expected_bytes_);
  file_.Commit();
}

void WriteSafetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<TensorHeader> headers;
  for (const NamedTensor& tensor : tensors) {
    headers.push_back({tensor.name, tensor.view.type, tensor.view.shape});
  }
  SafetensorsWriter writer(path, headers, metadata);
  for (const NamedTensor& tensor : tensors) writer.Write(tensor.view.bytes);
  writer.Commit();
}

}  // namespace blockformer
