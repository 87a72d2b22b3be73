#include "checkpoint/model_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "config/parameters.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class ModelDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/model-directory-test-" + std::to_string(getpid());
    std::filesystem::create_directories(directory_);
    config_.kind = ModelKind::kVanilla;
    config_.vocab_size = 8;
    config_.decoder = {4, 1, 1, 8, 0.5};
    WriteModelConfig(directory_, config_);
    for (const ParameterSpec& spec : ListParameters(config_)) {
      values_.emplace_back(static_cast<size_t>(spec.NumElements()), 0.5f);
      tensors_.push_back(
          {spec.name, {DataType::kF32, spec.shape, std::as_bytes(std::span(values_.back()))}});
    }
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  void Write(const std::vector<NamedTensor>& tensors) {
    WriteSafetensors(Path(kWeightsFile), tensors);
  }
  std::string LoadError() const {
    try {
      const SafetensorsWeights weights(directory_, ReadModelConfig(directory_));
      return "no error";
    } catch (const Error& error) {
      return error.what();
    }
  }

  std::string directory_;
  ModelConfig config_;
  std::vector<std::vector<float>> values_;
  std::vector<NamedTensor> tensors_;
};

TEST_F(ModelDirectoryTest, LoadsWhatFitsItsConfig) {
  Write(tensors_);
  EXPECT_EQ(ReadModelConfig(directory_), config_);
  const SafetensorsWeights weights(directory_, config_);
  EXPECT_EQ(weights.Get("embed_out.weight").shape, (std::vector<int64_t>{8, 4}));
}

TEST_F(ModelDirectoryTest, TextsEndAtTheIdsOfTheGenerationConfigToo) {
  WriteFileAtomically(Path("generation_config.json"),
                      R"({"eos_token_id": [3, 0, 5], "top_p": 0.9})");
  ModelConfig expected = config_;
  expected.other_eos_token_ids = {3, 5};
  EXPECT_EQ(ReadModelConfig(directory_), expected);
  WriteFileAtomically(Path("generation_config.json"), R"({"eos_token_id": 8})");
  EXPECT_THAT(LoadError(), HasSubstr("generation_config.json: eos_token_id"));
  WriteFileAtomically(Path("generation_config.json"), "{");
  EXPECT_THAT(LoadError(), HasSubstr("generation_config.json: not valid JSON"));
  WriteFileAtomically(Path("generation_config.json"), "{}");
  EXPECT_EQ(ReadModelConfig(directory_), config_);
}

// Null is "none" in transformers; the ids may stand in generation_config.json alone.
TEST_F(ModelDirectoryTest, AnEndOfTextThatIsNullIsThatOfTheGenerationConfig) {
  Json json = ReadJsonFile(Path("config.json"));
  json["eos_token_id"] = nullptr;
  WriteFileAtomically(Path("config.json"), json.dump());
  std::filesystem::remove(Path("generation_config.json"));
  testing::internal::CaptureStderr();
  EXPECT_EQ(ReadModelConfig(directory_).eos_token_id, 0);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("eos_token_id is null: token 0"));
  WriteFileAtomically(Path("generation_config.json"), R"({"eos_token_id": [3, 5]})");
  const ModelConfig config = ReadModelConfig(directory_);
  EXPECT_EQ(config.eos_token_id, 3);
  EXPECT_EQ(config.other_eos_token_ids, (std::vector<int64_t>{5}));
}

TEST_F(ModelDirectoryTest, LoadsShardsAndIgnoresOldBuffers) {
  const std::vector<float> buffer(1, 1.0f);
  const std::vector<NamedTensor> first(tensors_.begin(), tensors_.begin() + 3);
  std::vector<NamedTensor> second(tensors_.begin() + 3, tensors_.end());
  second.push_back({"gpt_neox.layers.0.attention.bias",
                    {DataType::kF32, {1}, std::as_bytes(std::span(buffer))}});
  WriteSafetensors(Path("model-00001-of-00002.safetensors"), first);
  WriteSafetensors(Path("model-00002-of-00002.safetensors"), second);
  OrderedJson map;
  for (const auto& tensor : first) map[tensor.name] = "model-00001-of-00002.safetensors";
  for (const auto& tensor : second) map[tensor.name] = "model-00002-of-00002.safetensors";
  WriteFileAtomically(Path(kWeightsIndexFile), OrderedJson{{"weight_map", map}}.dump());
  EXPECT_EQ(LoadError(), "no error");
  map["embed_out.weight"] = "model-00001-of-00002.safetensors";
  WriteFileAtomically(Path(kWeightsIndexFile), OrderedJson{{"weight_map", map}}.dump());
  EXPECT_THAT(LoadError(), HasSubstr("does not hold this tensor"));
  map["embed_out.weight"] = "../../secret";
  WriteFileAtomically(Path(kWeightsIndexFile), OrderedJson{{"weight_map", map}}.dump());
  EXPECT_THAT(LoadError(), HasSubstr("weight_map.embed_out.weight"));
}

TEST_F(ModelDirectoryTest, NamesWhatIsMissingExtraOrMisshapen) {
  Write({tensors_.begin(), tensors_.end() - 1});
  EXPECT_THAT(LoadError(), HasSubstr("missing: embed_out.weight"));

  auto extra = tensors_;
  extra.push_back({"surprise", tensors_[0].view});
  Write(extra);
  EXPECT_THAT(LoadError(), HasSubstr("surprise"));

  auto misshapen = tensors_;
  misshapen[0].view.shape = {4, 8};
  Write(misshapen);
  EXPECT_THAT(LoadError(), testing::AllOf(HasSubstr("gpt_neox.embed_in.weight"),
                                          HasSubstr("[4, 8]"), HasSubstr("[8, 4]")));

  auto integers = tensors_;
  integers[0].view.type = DataType::kI32;
  Write(integers);
  EXPECT_THAT(LoadError(), HasSubstr("I32"));
}

TEST_F(ModelDirectoryTest, SaysWhatADirectoryLacks) {
  EXPECT_THAT(LoadError(), HasSubstr("neither model.safetensors"));
  WriteFileAtomically(Path("pytorch_model.bin"), "x");
  EXPECT_THAT(LoadError(), HasSubstr("convert it"));
  EXPECT_THROW(ReadModelConfig(directory_ + "/none"), Error);
}

TEST_F(ModelDirectoryTest, WeightsThatAreNotFiniteAreRefusedWhenRead) {
  const std::string name = "gpt_neox.layers.0.mlp.dense_h_to_4h.weight";
  const auto tensor = std::ranges::find(tensors_, name, &NamedTensor::name);
  ASSERT_NE(tensor, tensors_.end());
  const TensorView view = tensor->view;
  const std::vector<float> good = ToFloats(view, name);
  for (const DataType type : {DataType::kF32, DataType::kF16, DataType::kBF16}) {
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      for (const size_t place : {size_t{0}, size_t{13}, good.size() - 1}) {
        std::vector<float> values = good;
        values[place] = bad;
        std::vector<std::byte> bytes(values.size() * static_cast<size_t>(ElementBytes(type)));
        ConvertFromFloat(values, type, bytes);
        tensor->view = {type, view.shape, bytes};
        Write(tensors_);
        const SafetensorsWeights weights(directory_, config_);
        EXPECT_NO_THROW(weights.Floats("gpt_neox.embed_in.weight"));
        try {
          weights.Floats(name);
          ADD_FAILURE() << bad << " as " << DataTypeName(type) << " was accepted";
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
          EXPECT_THAT(error.what(), HasSubstr(fmt::format("{}: tensor {}: element {} is {}",
                                                          directory_, name, place, bad)));
        }
      }
    }
  }
}

}  // namespace
}  // namespace blockformer
