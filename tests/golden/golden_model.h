#ifndef BLOCKFORMER_TESTS_GOLDEN_GOLDEN_MODEL_H_
#define BLOCKFORMER_TESTS_GOLDEN_GOLDEN_MODEL_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/model_directory.h"
#include "config/parameters.h"
#include "devices/devices.h"
#include "tests/golden/golden_file.h"

namespace blockformer {

// Writes the golden weights as a model directory and loads it as a user would.
inline std::shared_ptr<const Model> LoadGoldenModel(const GoldenFile& golden) {
  const std::string directory = testing::TempDir() + "/golden-engine-" + std::to_string(getpid());
  std::filesystem::create_directories(directory);
  WriteModelConfig(directory, golden.config());
  std::vector<std::vector<float>> values;
  std::vector<NamedTensor> tensors;
  for (const ParameterSpec& spec : ListParameters(golden.config())) {
    if (!golden.Has("w." + spec.name)) continue;
    values.push_back(golden.Floats("w." + spec.name));
    tensors.push_back({spec.name,
                       {DataType::kF32, golden.Shape("w." + spec.name),
                        std::as_bytes(std::span(values.back()))}});
  }
  WriteSafetensors(directory + "/" + kWeightsFile, tensors);
  auto model = LoadModel(directory);
  std::filesystem::remove_all(directory);
  return model;
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_GOLDEN_GOLDEN_MODEL_H_
