#ifndef BLOCKFORMER_TESTS_GOLDEN_GOLDEN_FILE_H_
#define BLOCKFORMER_TESTS_GOLDEN_GOLDEN_FILE_H_

#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "config/model_config.h"

namespace blockformer {

// The directory of the golden files: $BLOCKFORMER_GOLDEN_DIR, or ../shared/golden.
std::string GoldenDirectory();

// Names (without ".safetensors") of the golden files that hold a tensor whose name starts with one
// of `prefixes`, sorted. A file that cannot be read is among them, so that a test fails for it.
// Empty if there is no such directory.
std::vector<std::string> GoldenNames(const std::vector<std::string>& prefixes);

// The name of a test for a golden file: that of the file, with what GoogleTest does not take
// replaced.
std::string GoldenTestName(const std::string& name);

// One golden file: a tiny model of the published implementation with weights `w.NAME`, gradients
// `g.NAME`, inputs and outputs `io.NAME`.
class GoldenFile {
 public:
  // Throws Error if the file cannot be read or describes an impossible model.
  explicit GoldenFile(const std::string& name);

  // The part of the model that blockformer does not build, such as "embedder roberta"; empty if it
  // builds all of it.
  const std::string& missing_component() const { return missing_component_; }
  // Valid if no component is missing.
  const ModelConfig& config() const { return config_; }

  bool Has(const std::string& tensor) const { return file_.Contains(tensor); }
  bool HasPrefix(const std::string& prefix) const;
  // All tensors, and the strings beside them.
  const SafetensorsFile& file() const { return file_; }

  // Throws Error if the tensor is not there.
  bool IsInteger(const std::string& tensor) const;
  // These throw Error if the tensor is not there or has another type.
  std::vector<int64_t> Shape(const std::string& tensor) const;
  std::vector<float> Floats(const std::string& tensor) const;
  std::vector<int64_t> Integers(const std::string& tensor) const;
  int64_t Integer(const std::string& tensor) const;  // the only element
  float Float(const std::string& tensor) const;      // the only element

 private:
  SafetensorsFile file_;
  std::string missing_component_;
  ModelConfig config_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_GOLDEN_GOLDEN_FILE_H_
