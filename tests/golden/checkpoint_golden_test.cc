// Checkpoints against the golden files: their configurations in the published schema, their weights
// out and in again, and the conversion of a vanilla model to a block model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "checkpoint/convert.h"
#include "checkpoint/model_directory.h"
#include "checkpoint/published_block.h"
#include "tests/golden/golden_file.h"

namespace blockformer {
namespace {

class GoldenCheckpoint : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/golden-checkpoint-" + std::to_string(getpid());
    std::filesystem::create_directories(Path("source"));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  // Writes the tensors whose names start with `prefix`, without it.
  static void WriteWeights(const GoldenFile& golden, const std::string& prefix,
                           const std::string& path) {
    std::vector<NamedTensor> tensors;
    for (const auto& [name, tensor] : golden.file().tensors()) {
      if (name.starts_with(prefix)) tensors.push_back({name.substr(prefix.size()), tensor});
    }
    WriteSafetensors(path, tensors);
  }

  static ConvertReport Convert(const ConvertOptions& options) {
    return ConvertCheckpoint(options, ConvertCallbacks());
  }

  static void ExpectEqual(const TensorView& found, const TensorView& wanted,
                          const std::string& name) {
    EXPECT_EQ(found.type, wanted.type) << name;
    EXPECT_EQ(found.shape, wanted.shape) << name;
    EXPECT_TRUE(std::ranges::equal(found.bytes, wanted.bytes)) << name;
  }

  std::string directory_;
};

class GoldenPublishedBlock : public GoldenCheckpoint {};
class GoldenConversion : public GoldenCheckpoint {};

#define INSTANTIATE_GOLDEN(suite, names)                        \
  GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(suite);         \
  INSTANTIATE_TEST_SUITE_P(, suite, ::testing::ValuesIn(names), \
                           [](const auto& test) { return GoldenTestName(test.param); })

// The published trainer's schema is that of block models' files with block decoders.
std::vector<std::string> PublishedNames() {
  std::vector<std::string> names = GoldenNames({"w.block_decoder."});
  std::erase_if(names, [](const std::string& name) {
    const GoldenFile golden(name);
    const auto config = golden.file().metadata().find("config");
    return !golden.missing_component().empty() || config == golden.file().metadata().end() ||
           !IsPublishedConfig(ParseJson(config->second, name)) ||
           !ParseJson(config->second, name).contains("block_split");
  });
  return names;
}

INSTANTIATE_GOLDEN(GoldenPublishedBlock, PublishedNames());
INSTANTIATE_GOLDEN(GoldenConversion, GoldenNames({"wv."}));

TEST_P(GoldenPublishedBlock, ImportsAndExportsToTheBit) {
  const GoldenFile golden(GetParam());
  const std::string yaml = golden.file().metadata().at("config");
  WriteFileAtomically(Path("source/trainer.yaml"), yaml);
  WriteWeights(golden, "w.", Path("source/model.safetensors"));

  ConvertOptions import;
  import.source = Path("source");
  import.destination = Path("model");
  const ConvertReport report = Convert(import);
  EXPECT_EQ(report.from, CheckpointFormat::kPublishedBlock);
  ModelConfig expected = golden.config();
  expected.max_length = ParseJson(yaml, "config").at("max_length");
  expected.begin_token_id =
      expected.token_decoder_type == TokenDecoderType::kPrefix ? 0 : expected.begin_token_id;
  // Texts end with the tokenizer's id, whatever T5's configuration calls its own.
  if (expected.token_decoder_type == TokenDecoderType::kCrossAttention) expected.eos_token_id = 0;
  EXPECT_EQ(report.config, expected);
  EXPECT_EQ(ReadModelConfig(Path("model")), expected);

  ConvertOptions out;
  out.source = Path("model");
  out.destination = Path("published");
  out.to = CheckpointFormat::kPublishedBlock;
  EXPECT_EQ(Convert(out).checksum, report.checksum);
  const SafetensorsFile source(Path("source/model.safetensors"));
  const SafetensorsFile published(Path("published/model.safetensors"));
  EXPECT_EQ(published.tensors().size(), source.tensors().size());
  for (const auto& [name, tensor] : source.tensors()) {
    if (name == "block_decoder.gpt_neox.embed_in.weight") continue;  // zeros
    ExpectEqual(published.Get(name), tensor, name);
  }
  const std::string written = Path("published/trainer.yaml");
  EXPECT_EQ(PublishedConfigFromYaml(ReadYamlFile(written), written), expected);
}

TEST_P(GoldenConversion, MatchesVanillaToBlock) {
  const GoldenFile golden(GetParam());
  WriteWeights(golden, "wv.", Path("source/model.safetensors"));
  ModelConfig vanilla = golden.config();
  vanilla.kind = ModelKind::kVanilla;
  vanilla.decoder.num_layers += vanilla.token_decoder.num_layers;
  WriteModelConfig(Path("source"), vanilla);

  ConvertOptions options;
  options.source = Path("source");
  options.destination = Path("block");
  options.to = CheckpointFormat::kPublishedBlock;
  options.uptrain = UptrainOptions{.block_length = golden.config().block_length,
                                   .prefix_length = golden.config().prefix_length,
                                   .block_layers = golden.config().decoder.num_layers};
  EXPECT_EQ(Convert(options).config, golden.config());
  const SafetensorsFile block(Path("block/model.safetensors"));
  // What the published code leaves as it was made; the file has random values there.
  const Json untouched = ParseJson(golden.file().metadata().at("untouched"), GetParam());
  size_t compared = 0;
  for (const auto& [golden_name, tensor] : golden.file().tensors()) {
    if (!golden_name.starts_with("w.")) continue;
    const std::string name = golden_name.substr(2);
    ++compared;
    if (std::find(untouched.begin(), untouched.end(), Json(name)) == untouched.end()) {
      ExpectEqual(block.Get(name), tensor, name);
      continue;
    }
    const float fresh = name.ends_with("layer_norm.weight") ? 1.0f : 0.0f;
    EXPECT_THAT(ToFloats(block.Get(name), name), testing::Each(fresh)) << name;
  }
  EXPECT_EQ(compared, block.tensors().size());
}

}  // namespace
}  // namespace blockformer
