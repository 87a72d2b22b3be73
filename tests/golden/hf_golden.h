#ifndef BLOCKFORMER_TESTS_GOLDEN_HF_GOLDEN_H_
#define BLOCKFORMER_TESTS_GOLDEN_HF_GOLDEN_H_

#include <string>
#include <vector>

#include "checkpoint/safetensors.h"

namespace blockformer {

// The directory of golden models of Hugging Face's families: $BLOCKFORMER_HF_GOLDEN_DIR, or
// ../shared/golden-hf.
std::string HfGoldenDirectory();

// Names of the folders in it that hold expected.safetensors, sorted; empty if it is not there.
std::vector<std::string> HfGoldenNames();

// One of these folders: a model directory, and what transformers computes with it in
// expected.safetensors: `io.*` inputs and outputs, `g.NAME` gradients.
class HfGolden {
 public:
  explicit HfGolden(const std::string& name);

  const std::string& directory() const { return directory_; }
  bool Has(const std::string& tensor) const { return file_.Contains(tensor); }
  // These throw Error if the tensor is not there or has another type.
  std::vector<int64_t> Shape(const std::string& tensor) const;
  std::vector<float> Floats(const std::string& tensor) const;
  std::vector<int64_t> Integers(const std::string& tensor) const;
  std::vector<std::vector<int32_t>> Rows(const std::string& tensor) const;

 private:
  std::string directory_;
  SafetensorsFile file_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_GOLDEN_HF_GOLDEN_H_
