// Directories of int8 weights: written by conversion, read back, and refused where they are wrong.
#include "checkpoint/int8_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>

#include "base/error.h"
#include "checkpoint/convert.h"
#include "checkpoint/model_directory.h"

namespace blockformer {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kLinear[] = "gpt_neox.layers.0.mlp.dense_4h_to_h";

ModelConfig VanillaToQuantize() {
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = 32;
  config.max_length = 64;
  config.decoder = {8, 2, 2, 20, 0.5};
  return config;
}

ModelConfig PrefixConfig() {
  ModelConfig config;
  config.vocab_size = 32;
  config.max_length = 64;
  config.block_length = 4;
  config.embedder.hidden_size = 4;
  config.decoder = {16, 2, 2, 24, 0.5};
  config.token_decoder = {12, 1, 2, 20, 1.0};
  config.prefix_length = 2;
  return config;
}

ModelConfig RobertaT5Config() {
  ModelConfig config = PrefixConfig();
  config.embedder = {EmbedderType::kRoberta, EmbedderProjection::kConv1d, 12, {1, 2, 20, 40}};
  config.token_decoder_type = TokenDecoderType::kCrossAttention;
  config.token_decoder = {};
  config.t5 = {18, 1, 3, 10, 28, 4, 16};
  config.prefix_length = config.block_length;
  config.begin_token_id = 1;
  return config;
}

struct Tensor {
  DataType type;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};
using Tensors = std::map<std::string, Tensor>;

class Int8WeightsTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/int8-weights-test-" + std::to_string(getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  // Values between -1 and 1 that differ everywhere; `value` at index 0 of the tensor `special`.
  void WriteModel(const std::string& name, const ModelConfig& config,
                  DataType type = DataType::kF32, const std::string& special = "",
                  float value = 0) const {
    std::vector<WeightSource> weights;
    for (const ParameterSpec& spec : ListParameters(config)) {
      WeightSource weight;
      weight.name = spec.name;
      weight.shape = spec.shape;
      weight.type = type;
      const auto tensor = static_cast<double>(weights.size());
      const bool is_special = spec.name == special;
      weight.value = [tensor, is_special, value](int64_t i) {
        if (is_special && i == 0) return value;
        return static_cast<float>(std::sin(tensor + 1.7 * static_cast<double>(i)));
      };
      weights.push_back(std::move(weight));
    }
    std::filesystem::create_directories(Path(name));
    WriteModelConfig(Path(name), config, type);
    WriteWeights(Path(name), weights, UINT64_MAX, [](uint64_t) {});
  }

  ConvertOptions Options(const std::string& source, const std::string& destination,
                         std::optional<DataType> type = DataType::kI8) const {
    ConvertOptions options;
    options.source = Path(source);
    options.destination = Path(destination);
    options.type = type;
    return options;
  }
  static ConvertReport Convert(const ConvertOptions& options) {
    return ConvertCheckpoint(options, ConvertCallbacks());
  }
  // The message, after checking that nothing was left behind.
  static std::string ConvertError(const ConvertOptions& options) {
    try {
      Convert(options);
    } catch (const Error& error) {
      EXPECT_FALSE(FileExists(options.destination));
      return error.what();
    }
    return "no error";
  }

  Tensors ReadTensors(const std::string& name) const {
    const SafetensorsFile file(Path(name) + "/" + kWeightsFile);
    Tensors tensors;
    for (const auto& [tensor, view] : file.tensors()) {
      tensors[tensor] = {view.type, view.shape, {view.bytes.begin(), view.bytes.end()}};
    }
    return tensors;
  }
  void WriteTensors(const std::string& name, const Tensors& tensors) const {
    std::vector<NamedTensor> views;
    for (const auto& [tensor, data] : tensors) {
      views.push_back({tensor, {data.type, data.shape, data.bytes}});
    }
    WriteSafetensors(Path(name) + "/" + kWeightsFile, views);
  }

  // The message with which a directory of int8 weights is refused after this change.
  std::string ErrorAfter(const std::function<void(Tensors*)>& change) {
    if (right_.empty()) {
      WriteModel("model", VanillaToQuantize());
      Convert(Options("model", "int8"));
      right_ = ReadTensors("int8");
    }
    Tensors tensors = right_;
    change(&tensors);
    WriteTensors("int8", tensors);
    return LoadError("int8");
  }
  std::string LoadError(const std::string& name) const {
    try {
      const SafetensorsWeights weights(Path(name), ReadModelConfig(Path(name)));
      return "no error";
    } catch (const Error& error) {
      return error.what();
    }
  }

  std::string directory_;
  Tensors right_;  // what ErrorAfter changes
};

void ExpectEqual(const Int8Linear& left, const Int8Linear& right, const std::string& name) {
  EXPECT_EQ(left.out, right.out) << name;
  EXPECT_EQ(left.in, right.in) << name;
  EXPECT_EQ(left.values, right.values) << name;
  EXPECT_EQ(left.scales, right.scales) << name;
  EXPECT_EQ(left.input_scales, right.input_scales) << name;
}

TEST_F(Int8WeightsTest, FilesHoldWhatQuantisingAtLoadGives) {
  for (const ModelConfig& config : {VanillaToQuantize(), PrefixConfig(), RobertaT5Config()}) {
    for (const DataType type : {DataType::kF32, DataType::kBF16}) {
      WriteModel("model", config, type);
      Convert(Options("model", "int8"));
      EXPECT_EQ(ReadModelConfig(Path("int8")), config);
      const SafetensorsWeights floats(Path("model"), config);
      const SafetensorsWeights int8(Path("int8"), config);
      EXPECT_FALSE(floats.is_int8());
      ASSERT_TRUE(int8.is_int8());
      const ModelQuantizer quantizer(config,
                                     [&](const std::string& name) { return floats.Floats(name); });
      for (const ParameterSpec& spec : ListParameters(config)) {
        if (!spec.is_used) continue;
        if (!spec.may_be_int8) {
          const bool narrowed = spec.is_vocabulary_table && type == DataType::kF32;
          EXPECT_EQ(int8.Get(spec.name).type, narrowed ? DataType::kF16 : type) << spec.name;
          continue;
        }
        const std::string name = LinearName(spec.name);
        ExpectEqual(int8.GetInt8(name), quantizer(name), name);
        EXPECT_EQ(int8.Contains(name + kInputScaleSuffix), quantizer.ScalesInputs(name)) << name;
        EXPECT_EQ(int8.Floats(spec.name), Dequantize(quantizer(name)));
      }
      std::filesystem::remove_all(directory_);
    }
  }
}

TEST_F(Int8WeightsTest, CopiesAreEqualAndShardsReadBack) {
  for (const ModelConfig& config : {VanillaToQuantize(), RobertaT5Config()}) {
    WriteModel("model", config);
    const ConvertReport report = Convert(Options("model", "int8"));
    for (const std::optional<DataType> type : {std::optional(DataType::kI8), {}}) {
      ConvertOptions options = Options("int8", "copy", type);
      options.max_shard_bytes = 1000;
      options.replace = true;
      const ConvertReport copy = Convert(options);
      EXPECT_GT(copy.files.size(), 1U);
      EXPECT_EQ(copy.checksum, report.checksum);
      EXPECT_EQ(copy.tensors_read, report.tensors_written);
      const SafetensorsWeights int8(Path("int8"), config);
      const SafetensorsWeights copied(Path("copy"), config);
      EXPECT_EQ(copied.BytesByType(), int8.BytesByType());
      EXPECT_TRUE(copied.is_int8());
    }
    std::filesystem::remove_all(directory_);
  }
}

TEST_F(Int8WeightsTest, NothingElseIsMadeOfThem) {
  WriteModel("model", VanillaToQuantize());
  Convert(Options("model", "int8"));
  for (const DataType type : {DataType::kF32, DataType::kBF16, DataType::kF16}) {
    EXPECT_THAT(ConvertError(Options("int8", "x", type)), HasSubstr("int8: has int8 weights"));
  }
  ConvertOptions options = Options("int8", "x", {});
  options.to = CheckpointFormat::kHuggingFace;
  EXPECT_THAT(ConvertError(options), HasSubstr("int8: has int8 weights"));
  options.to = CheckpointFormat::kBlockformer;
  options.uptrain = UptrainOptions{.block_length = 4};
  EXPECT_THAT(ConvertError(options), HasSubstr("int8: has int8 weights"));
  WriteModel("block", PrefixConfig());
  Convert(Options("block", "int8-block"));
  options = Options("int8-block", "x", {});
  options.to = CheckpointFormat::kPublishedBlock;
  EXPECT_THAT(ConvertError(options), HasSubstr("int8-block: has int8 weights"));
}

TEST_F(Int8WeightsTest, OtherFormatsAndUptrainingDoNotTakeThem) {
  WriteModel("model", VanillaToQuantize());
  ConvertOptions options = Options("model", "x");
  options.to = CheckpointFormat::kHuggingFace;
  EXPECT_THAT(ConvertError(options), HasSubstr("hf holds no int8 weights"));
  options = Options("model", "x");
  options.uptrain = UptrainOptions{.block_length = 4};
  EXPECT_THAT(ConvertError(options), HasSubstr("`uptrain`"));
}

TEST_F(Int8WeightsTest, NamesWhatCannotBeConverted) {
  const std::string weight = std::string(kLinear) + ".weight";
  WriteModel("nan", VanillaToQuantize(), DataType::kF32, weight,
             std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(ConvertError(Options("nan", "x")), AllOf(HasSubstr(weight), HasSubstr("nan")));
  const std::string table = "gpt_neox.embed_in.weight";
  WriteModel("large", VanillaToQuantize(), DataType::kF32, table, 70000);
  EXPECT_THAT(ConvertError(Options("large", "x")), AllOf(HasSubstr(table), HasSubstr("F16")));
  WriteModel("bf16", VanillaToQuantize(), DataType::kBF16, table, 70000);
  EXPECT_EQ(ConvertError(Options("bf16", "x")), "no error");
}

TEST_F(Int8WeightsTest, RefusesValuesAndScalesThatCannotBe) {
  const auto store = [](const std::string& name, auto value) {
    return [name, value](Tensors* tensors) {
      std::memcpy(tensors->at(name).bytes.data() + sizeof(value), &value, sizeof(value));
    };
  };
  const std::string weight = std::string(kLinear) + ".weight";
  EXPECT_EQ(ErrorAfter(store(weight, int8_t{-127})), "no error");
  EXPECT_THAT(ErrorAfter(store(weight, int8_t{-128})), AllOf(HasSubstr(weight), HasSubstr("-128")));
  for (const std::string suffix : {kWeightScaleSuffix, kInputScaleSuffix}) {
    const std::string scale = kLinear + suffix;
    EXPECT_EQ(ErrorAfter(store(scale, 1e-30F)), "no error");
    for (const float bad : {0.0F, -1.0F, NAN, INFINITY}) {
      EXPECT_THAT(ErrorAfter(store(scale, bad)), AllOf(HasSubstr(scale), HasSubstr("above 0")))
          << bad;
    }
  }
}

TEST_F(Int8WeightsTest, RefusesTensorsThatAreMissingMisshapenOrElsewhere) {
  const std::string weight = std::string(kLinear) + ".weight";
  const std::string scale = std::string(kLinear) + kWeightScaleSuffix;
  const std::string input_scale = std::string(kLinear) + kInputScaleSuffix;
  const std::string bias = std::string(kLinear) + ".bias";
  const auto error = [&](const auto& change) { return ErrorAfter(change); };

  EXPECT_THAT(error([&](Tensors* t) { t->erase(scale); }),
              AllOf(HasSubstr(scale), HasSubstr("missing")));
  EXPECT_EQ(error([&](Tensors* t) { t->erase(input_scale); }), "no error");
  EXPECT_THAT(error([&](Tensors* t) { t->erase(weight); }), HasSubstr("missing: " + weight));
  // A scale without a layer of int8 weights, and one of a tensor that may not be int8.
  EXPECT_THAT(error([&](Tensors* t) { (*t)["x.weight_scale"] = t->at(scale); }),
              HasSubstr("not ask for: x.weight_scale"));
  EXPECT_THAT(error([&](Tensors* t) { (*t)["gpt_neox.embed_in.weight_scale"] = t->at(scale); }),
              HasSubstr("not ask for: gpt_neox.embed_in.weight_scale"));

  EXPECT_THAT(error([&](Tensors* t) {
                t->at(weight).shape = {20, 8};
              }),
              AllOf(HasSubstr(weight), HasSubstr("[20, 8]"), HasSubstr("[8, 20]")));
  EXPECT_THAT(error([&](Tensors* t) {
                t->at(scale).shape = {8, 1};
              }),
              AllOf(HasSubstr(scale), HasSubstr("F32 [8, 1]"), HasSubstr("F32 [8] is wanted")));
  EXPECT_THAT(error([&](Tensors* t) { t->at(input_scale) = t->at(scale); }),
              AllOf(HasSubstr(input_scale), HasSubstr("F32 [20] is wanted")));
  EXPECT_THAT(error([&](Tensors* t) { t->at(scale).type = DataType::kI32; }),
              AllOf(HasSubstr(scale), HasSubstr("I32")));

  // What may not be int8, and what has to be.
  EXPECT_THAT(error([&](Tensors* t) {
                t->at(bias) = {DataType::kI8, {8}, std::vector<std::byte>(8)};
              }),
              AllOf(HasSubstr(bias), HasSubstr("is I8")));
  EXPECT_THAT(error([&](Tensors* t) {
                t->at(weight) = {DataType::kF32, {8, 20}, std::vector<std::byte>(640)};
              }),
              AllOf(HasSubstr(weight), HasSubstr("I8 is wanted")));
}

TEST_F(Int8WeightsTest, ConfigAndTensorsHaveToAgree) {
  WriteModel("model", VanillaToQuantize());
  Convert(Options("model", "int8"));
  const std::string path = Path("int8/config.json");
  const Json written = ReadJsonFile(path);
  EXPECT_EQ(written["blockformer"]["quantization"], Json({{"weights", "int8"}}));
  const auto error_with = [&](const Json& quantization) {
    Json config = written;
    config["blockformer"]["quantization"] = quantization;
    WriteFileAtomically(path, config.dump());
    return LoadError("int8");
  };
  EXPECT_EQ(error_with({{"weights", "int8"}}), "no error");
  EXPECT_THAT(error_with(nullptr), HasSubstr("is I8; F32, F16 or BF16 is wanted"));
  EXPECT_THAT(error_with({{"weights", "int4"}}), HasSubstr("blockformer.quantization.weights"));
  EXPECT_THAT(error_with({{"weights", "int8"}, {"group", 64}}),
              HasSubstr("blockformer.quantization.group"));
  EXPECT_THAT(error_with("int8"), HasSubstr("blockformer.quantization"));
  WriteModelConfig(Path("model"), VanillaToQuantize(), DataType::kI8);
  EXPECT_THAT(LoadError("model"), HasSubstr("is F32; I8 is wanted"));
}

}  // namespace
}  // namespace blockformer
