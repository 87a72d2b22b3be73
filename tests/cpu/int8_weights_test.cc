// Which weights a model gets, by what its directory holds and what is asked for.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "checkpoint/convert.h"
#include "cpu/weights.h"
#include "tests/cpu/tiny_model_directory.h"

namespace blockformer {
namespace {

class WeightTypes : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/weight-types-" + std::to_string(getpid());
    WriteTinyModel(Path("floats"), config_);
    ConvertOptions options;
    options.source = Path("floats");
    options.destination = Path("int8");
    options.type = DataType::kI8;
    ConvertCheckpoint(options, {});
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  ReadWeights Read(const std::string& name, std::optional<NumberType> type = {}) const {
    return WeightsFromDirectory(Path(name), config_, type);
  }

  static void ExpectEqual(const Int8Linear& left, const Int8Linear& right) {
    EXPECT_EQ(left.values, right.values);
    EXPECT_EQ(left.scales, right.scales);
    EXPECT_EQ(left.input_scales, right.input_scales);
  }

  const ModelConfig config_ = TinyTextConfig();
  const std::string linear_ = "block_decoder.gpt_neox.layers.0.mlp.dense_h_to_4h";
  std::string directory_;
};

TEST_F(WeightTypes, FollowTheFilesUnlessAsked) {
  EXPECT_EQ(Read("floats").type, NumberType::kF32);
  EXPECT_EQ(Read("int8").type, NumberType::kInt8);
  for (const char* name : {"floats", "int8"}) {
    for (const NumberType type : {NumberType::kF32, NumberType::kBf16, NumberType::kInt8}) {
      EXPECT_EQ(Read(name, type).type, type);
    }
  }
}

TEST_F(WeightTypes, Int8IsTheSameFromFilesAndAtLoad) {
  const Int8Linear stored = Read("int8").int8(linear_);
  ExpectEqual(stored, Read("floats", NumberType::kInt8).int8(linear_));
  EXPECT_EQ(Read("int8", NumberType::kF32)(linear_ + ".weight"), Dequantize(stored));
  EXPECT_EQ(Read("int8")(linear_ + ".bias"), Read("floats")(linear_ + ".bias"));
}

TEST_F(WeightTypes, RandomWeightsAreQuantisedToo) {
  const ReadWeights random =
      RandomWeights(config_, 3, NumberType::kInt8);  // as the files have them
  EXPECT_EQ(random.type, NumberType::kInt8);
  ExpectEqual(random.int8(linear_), Read("int8").int8(linear_));
}

}  // namespace
}  // namespace blockformer
