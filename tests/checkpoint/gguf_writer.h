#ifndef BLOCKFORMER_TESTS_CHECKPOINT_GGUF_WRITER_H_
#define BLOCKFORMER_TESTS_CHECKPOINT_GGUF_WRITER_H_

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace blockformer {

// Makes GGUF files, right ones and wrong ones. Keys and tensors come in the order of the calls.
class GgufWriter {
 public:
  uint32_t version = 3;
  uint64_t alignment = 32;  // of the data; the key is to be added
  std::string magic = "GGUF";

  template <typename T>
  static std::string Raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
  }
  static std::string RawText(std::string_view text) {
    return Raw<uint64_t>(text.size()) + std::string(text);
  }

  void AddRawKey(std::string_view key, uint32_t type, const std::string& value) {
    keys_ += RawText(key) + Raw(type) + value;
    ++num_keys_;
  }
  void AddUint(std::string_view key, uint32_t value) { AddRawKey(key, 4, Raw(value)); }
  void AddFloat(std::string_view key, float value) { AddRawKey(key, 6, Raw(value)); }
  void AddBool(std::string_view key, bool value) { AddRawKey(key, 7, Raw<uint8_t>(value)); }
  void AddText(std::string_view key, std::string_view text) { AddRawKey(key, 8, RawText(text)); }
  void AddTexts(std::string_view key, const std::vector<std::string>& texts) {
    std::string list = Raw<uint32_t>(8) + Raw<uint64_t>(texts.size());
    for (const std::string& text : texts) list += RawText(text);
    AddRawKey(key, 9, list);
  }
  template <typename T>
  void AddNumbers(std::string_view key, uint32_t type, const std::vector<T>& values) {
    std::string list = Raw(type) + Raw<uint64_t>(values.size());
    for (const T value : values) list += Raw(value);
    AddRawKey(key, 9, list);
  }

  // `shape` is row-major: the file has it the other way round.
  void AddTensor(std::string_view name, uint32_t type, const std::vector<int64_t>& shape,
                 std::string_view bytes) {
    AddTensorAt(name, type, shape, data_.size());
    data_ += bytes;
    data_.append((alignment - data_.size() % alignment) % alignment, '\0');
  }
  // A header alone.
  void AddTensorAt(std::string_view name, uint32_t type, const std::vector<int64_t>& shape,
                   uint64_t offset) {
    tensors_ += RawText(name) + Raw(static_cast<uint32_t>(shape.size()));
    for (size_t i = shape.size(); i-- > 0;) tensors_ += Raw(shape[i]);
    tensors_ += Raw(type) + Raw(offset);
    ++num_tensors_;
  }

  std::string Bytes() const {
    std::string bytes = Head(num_tensors_, num_keys_) + keys_ + tensors_;
    bytes.append((alignment - bytes.size() % alignment) % alignment, '\0');
    return bytes + data_;
  }
  std::string Head(uint64_t num_tensors, uint64_t num_keys) const {
    return magic + Raw(version) + Raw(num_tensors) + Raw(num_keys);
  }
  void Write(const std::string& path) const { WriteBytes(path, Bytes()); }
  static void WriteBytes(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

 private:
  uint64_t num_keys_ = 0;
  uint64_t num_tensors_ = 0;
  std::string keys_;
  std::string tensors_;
  std::string data_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_CHECKPOINT_GGUF_WRITER_H_
