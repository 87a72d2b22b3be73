#ifndef BLOCKFORMER_CHECKPOINT_SAFETENSORS_H_
#define BLOCKFORMER_CHECKPOINT_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"

namespace blockformer {

enum class DataType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };

int64_t ElementBytes(DataType type);
const char* DataTypeName(DataType type);  // as safetensors spells it, such as "BF16"

// A tensor that lies in memory owned by someone else; row-major, no strides.
struct TensorView {
  DataType type = DataType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;

  int64_t NumElements() const;
};

// A tensor of which either someone else owns the bytes, or `bytes` does; the view is of them. Can
// be moved, not copied.
struct MadeTensor {
  std::vector<std::byte> bytes;
  TensorView view;
};

// Converts F64, F32, F16 or BF16 to f32, or integers to i64; `out` holds NumElements() values.
// Throws Error(kInvalidArgument), opening with `name`, for any other type.
void ConvertToFloat(const TensorView& tensor, const std::string& name, std::span<float> out);
void ConvertToInt64(const TensorView& tensor, const std::string& name, std::span<int64_t> out);
std::vector<float> ToFloats(const TensorView& tensor, const std::string& name);
std::vector<int64_t> ToInt64s(const TensorView& tensor, const std::string& name);

// Throws Error(kCorrupt), opening with `name`, that tells the first value that is infinite or NaN;
// `first` is the index of values[0] in its tensor.
void RequireFinite(std::span<const float> values, const std::string& name, size_t first = 0);

// Writes the values as F32, F16 or BF16, rounded to nearest even; `out` holds as many elements.
// Returns false if a finite value is too large for the type and became infinite. Throws
// Error(kInternal) for any other type.
bool ConvertFromFloat(std::span<const float> values, DataType type, std::span<std::byte> out);

// A mapped safetensors file. Construction checks the whole header: sizes, types, shapes, offsets
// that lie in the file, tile its data without gap or overlap and fit their shapes. Throws
// Error(kCorrupt) that names the file, the tensor and the value. Immutable; safe to read from
// several threads.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);

  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool Contains(const std::string& name) const { return tensors_.count(name) > 0; }
  // Throws Error(kCorrupt) naming the file and the tensor if it is not there.
  const TensorView& Get(const std::string& name) const;
  const std::string& path() const { return file_.path(); }

 private:
  MappedFile file_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

// A tensor that is to be written: what the header says of it.
struct TensorHeader {
  std::string name;
  DataType type = DataType::kF32;
  std::vector<int64_t> shape;

  uint64_t NumBytes() const;
};

// Writes a safetensors file whose data come piece by piece, so that they need not be in memory at
// once. The file appears when Commit() is called. Not thread-safe.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::string& path, const std::vector<TensorHeader>& tensors,
                    const std::map<std::string, std::string>& metadata = {});

  // Appends data; the tensors' data follow each other in the order of the headers.
  void Write(std::span<const std::byte> bytes) { file_.Write(bytes.data(), bytes.size()); }
  // Throws Error(kInternal) unless as many bytes were written as the headers ask for.
  void Commit();

 private:
  AtomicFile file_;
  uint64_t expected_bytes_ = 0;
};

// A tensor to write.
struct NamedTensor {
  std::string name;
  TensorView view;
};

// Writes a safetensors file atomically, tensors in the given order.
void WriteSafetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_SAFETENSORS_H_
