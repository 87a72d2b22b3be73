#include "tests/golden/hf_golden.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"

namespace blockformer {
namespace {

constexpr char kExpected[] = "/expected.safetensors";

}  // namespace

std::string HfGoldenDirectory() {
  const char* directory = std::getenv("BLOCKFORMER_HF_GOLDEN_DIR");
  return directory != nullptr ? directory : "../shared/golden-hf";
}

std::vector<std::string> HfGoldenNames() {
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(HfGoldenDirectory(), missing)) {
    if (FileExists(entry.path().string() + kExpected)) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::ranges::sort(names);
  return names;
}

HfGolden::HfGolden(const std::string& name)
    : directory_(HfGoldenDirectory() + "/" + name), file_(directory_ + kExpected) {}

std::vector<int64_t> HfGolden::Shape(const std::string& tensor) const {
  return file_.Get(tensor).shape;
}

std::vector<float> HfGolden::Floats(const std::string& tensor) const {
  return ToFloats(file_.Get(tensor), tensor);
}

std::vector<int64_t> HfGolden::Integers(const std::string& tensor) const {
  const TensorView& view = file_.Get(tensor);
  std::vector<int64_t> values(view.NumElements());
  ConvertToInt64(view, tensor, values);
  return values;
}

std::vector<std::vector<int32_t>> HfGolden::Rows(const std::string& tensor) const {
  const std::vector<int64_t> values = Integers(tensor);
  const auto width = static_cast<size_t>(Shape(tensor).back());
  std::vector<std::vector<int32_t>> rows(values.size() / width);
  for (size_t i = 0; i < values.size(); ++i) {
    rows[i / width].push_back(static_cast<int32_t>(values[i]));
  }
  return rows;
}

}  // namespace blockformer
