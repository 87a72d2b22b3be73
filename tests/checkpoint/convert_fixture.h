#ifndef BLOCKFORMER_TESTS_CHECKPOINT_CONVERT_FIXTURE_H_
#define BLOCKFORMER_TESTS_CHECKPOINT_CONVERT_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/convert.h"
#include "checkpoint/model_directory.h"
#include "checkpoint/weight_writer.h"

namespace blockformer {

inline ModelConfig VanillaConfig() {
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = 32;
  config.max_length = 64;
  config.decoder = {8, 4, 2, 20, 0.5};
  return config;
}

inline ModelConfig BlockConfig() {
  ModelConfig config;
  config.vocab_size = 32;
  config.max_length = 64;
  config.block_length = 4;
  config.embedder.hidden_size = 4;
  config.decoder = {16, 2, 2, 24, 0.5};
  config.token_decoder = {16, 1, 2, 24, 0.5};
  config.prefix_length = 2;
  return config;
}

// Makes small models in a folder of its own, and converts them.
class ConvertTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/convert-test-" + std::to_string(getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  // Values that differ everywhere and that every type holds.
  static std::vector<WeightSource> Weights(const ModelConfig& config, DataType type) {
    std::vector<WeightSource> weights;
    for (const ParameterSpec& spec : ListParameters(config)) {
      WeightSource weight;
      weight.name = spec.name;
      weight.shape = spec.shape;
      weight.type = type;
      const auto first = static_cast<int64_t>(weights.size());
      weight.value = [first](int64_t i) {
        return static_cast<float>((first * 31 + i * 7) % 255 - 127) / 128;
      };
      weights.push_back(std::move(weight));
    }
    return weights;
  }
  void WriteModel(const std::string& name, const ModelConfig& config,
                  DataType type = DataType::kF32) const {
    std::filesystem::create_directories(Path(name));
    WriteModelConfig(Path(name), config, type);
    WriteWeights(Path(name), Weights(config, type), UINT64_MAX, [](uint64_t) {});
  }

  ConvertOptions Options(const std::string& source, const std::string& destination) const {
    ConvertOptions options;
    options.source = Path(source);
    options.destination = Path(destination);
    return options;
  }
  static ConvertReport Convert(const ConvertOptions& options) {
    return ConvertCheckpoint(options, ConvertCallbacks());
  }
  // The message, after checking that nothing was left behind.
  std::string ErrorOf(const ConvertOptions& options) const {
    const bool existed = FileExists(options.destination);
    try {
      Convert(options);
    } catch (const Error& error) {
      EXPECT_EQ(FileExists(options.destination), existed);
      for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
        EXPECT_THAT(entry.path().string(), testing::Not(testing::HasSubstr(".tmp.")));
      }
      return error.what();
    }
    return "no error";
  }

  void ExpectSameWeights(const std::string& left, const std::string& right,
                         const ModelConfig& config) const {
    const SafetensorsWeights a(Path(left), config);
    const SafetensorsWeights b(Path(right), config);
    for (const ParameterSpec& spec : ListParameters(config)) {
      if (!spec.is_used) continue;
      EXPECT_EQ(a.Get(spec.name).type, b.Get(spec.name).type) << spec.name;
      EXPECT_TRUE(std::ranges::equal(a.Get(spec.name).bytes, b.Get(spec.name).bytes)) << spec.name;
    }
  }

  std::string directory_;
};

inline ModelConfig ConfigOfFamily(StackFamily family) {
  ModelConfig config = VanillaConfig();
  StackConfig& stack = config.decoder;
  stack.family = family;
  stack.norm = Norm::kRmsNorm;
  stack.mlp = Mlp::kSwiGlu;
  stack.rotary_pct = 1;
  stack.parallel_residual = false;
  stack.num_kv_heads = 1;
  stack.head_dim = 6;
  stack.qkv_bias = family == StackFamily::kQwen2;
  stack.attention_out_bias = false;
  stack.mlp_bias = false;
  stack.qk_norm = family == StackFamily::kQwen3;
  stack.tied_head = family != StackFamily::kMistral;
  if (family == StackFamily::kLlama) stack.rotary_scaling = {RotaryScalingType::kLlama3, 4, 16};
  config.bos_token_id = 1;
  return config;
}

inline constexpr StackFamily kOtherFamilies[] = {StackFamily::kLlama, StackFamily::kMistral,
                                                 StackFamily::kQwen2, StackFamily::kQwen3};

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_CHECKPOINT_CONVERT_FIXTURE_H_
