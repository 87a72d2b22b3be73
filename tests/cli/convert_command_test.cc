// `blockformer convert` in the process, on tiny models with random weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/option_checks.h"
#include "cli/sanity_check.h"
#include "tests/cpu/tiny_model_directory.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class ConvertCommand : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/convert-command-" + std::to_string(getpid());
    ModelConfig vanilla = TinyTextConfig();
    vanilla.kind = ModelKind::kVanilla;
    vanilla.decoder.num_layers = 2;
    WriteTinyModel(Path("vanilla"), vanilla);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  // What the command prints.
  std::string Run(const std::vector<std::string>& arguments) const {
    CLI::App app;
    AddConvertCommand(app);
    CheckOptionValues(&app);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    reversed.emplace_back("convert");
    testing::internal::CaptureStdout();
    try {
      app.parse(reversed);
    } catch (...) {
      testing::internal::GetCapturedStdout();
      throw;
    }
    fflush(stdout);
    return testing::internal::GetCapturedStdout();
  }

  std::string directory_;
};

TEST_F(ConvertCommand, ReportsAndChecksTheResult) {
  const Json report =
      ParseJson(Run({"--json", "--to", "hf-gpt-neox", Path("vanilla"), Path("hf")}), "report");
  EXPECT_EQ(report["from"], "blockformer");
  EXPECT_EQ(report["tokenizer_files"], Json({"tokenizer.json"}));
  const double uniform = report["check"]["uniform_loss"];
  EXPECT_NEAR(report["check"]["loss"].get<double>(), uniform, 0.5);  // it is untrained
  EXPECT_THAT(Run({"--check", "never", Path("hf"), Path("again")}),
              AllOf(HasSubstr(report["checksum"]), HasSubstr("not wanted")));
}

TEST_F(ConvertCommand, UptrainsToAModelThatRuns) {
  Run({"--uptrain", "partition", "--block-length", "3", Path("vanilla"), Path("block")});
  const ModelConfig config = ReadModelConfig(Path("block"));
  EXPECT_EQ(config.block_length, 3);
  EXPECT_GT(CheckLoss(Path("block"), config).tokens, 20);
  EXPECT_THROW(Run({"--block-length", "3", Path("vanilla"), Path("x")}), CLI::ParseError);
  EXPECT_THROW(Run({"--uptrain", "skip", Path("vanilla"), Path("x")}), CLI::ParseError);
}

TEST_F(ConvertCommand, QuantisesToAModelThatRuns) {
  const Json floats = ParseJson(Run({"--json", Path("vanilla"), Path("floats")}), "report");
  const Json int8 =
      ParseJson(Run({"--json", "--dtype", "int8", Path("vanilla"), Path("int8")}), "report");
  EXPECT_LT(int8["bytes"].get<double>(), 0.5 * floats["bytes"].get<double>());
  EXPECT_NEAR(int8["check"]["loss"].get<double>(), floats["check"]["loss"].get<double>(), 0.01);
  EXPECT_THROW(Run({"--to", "hf-gpt-neox", Path("int8"), Path("x")}), Error);
  EXPECT_FALSE(FileExists(Path("x")));
}

TEST_F(ConvertCommand, BlockModelsGoToHuggingFaceWithTheirCode) {
  WriteTinyModel(Path("block"), TinyTextConfig());
  const Json report = ParseJson(Run({"--json", "--to", "hf", Path("block"), Path("hf")}), "report");
  EXPECT_EQ(report["to"], "hf");
  EXPECT_GT(report["check"]["tokens"].get<int>(), 20);  // the program runs it too
  const Json config = ReadJsonFile(Path("hf/config.json"));
  EXPECT_EQ(config["architectures"], Json({"BlockformerForCausalLM"}));
  // Each class that is named stands in a file beside the weights.
  for (const auto& [loader, reference] : config["auto_map"].items()) {
    const std::string text = reference.get<std::string>();
    const size_t dot = text.find('.');
    const std::string code = ReadFile(Path("hf/" + text.substr(0, dot) + ".py"));
    EXPECT_THAT(code, HasSubstr("class " + text.substr(dot + 1))) << loader;
  }
  for (const char* name : {"configuration", "layers", "modeling", "parts"}) {
    const std::string file = std::string(name) + "_blockformer.py";
    EXPECT_EQ(ReadFile(Path("hf/" + file)), ReadFile("python/hf/" + file));
  }
  // The tokenizer has 260 ids, the vocabulary 264.
  EXPECT_EQ(ReadJsonFile(Path("hf/generation_config.json"))["suppress_tokens"],
            Json({260, 261, 262, 263}));
  const Json tokenizer = ReadJsonFile(Path("hf/tokenizer_config.json"));
  EXPECT_EQ(tokenizer["eos_token"], "<|endoftext|>");
  EXPECT_EQ(tokenizer["padding_side"], "left");

  EXPECT_THROW(Run({"--to", "hf", Path("block"), Path("hf")}), Error);
  Run({"--to", "hf", "--force", Path("block"), Path("hf")});
  const Json back = ParseJson(Run({"--json", Path("hf"), Path("back")}), "report");
  EXPECT_EQ(back["checksum"], report["checksum"]);
  EXPECT_EQ(ReadModelConfig(Path("back")), ReadModelConfig(Path("block")));
  EXPECT_THROW(Run({"--to", "hf", "--dtype", "int8", Path("block"), Path("x")}), Error);
}

TEST_F(ConvertCommand, VanillaModelsGoToHuggingFaceWithoutCode) {
  Run({"--to", "hf", Path("vanilla"), Path("hf")});
  const Json config = ReadJsonFile(Path("hf/config.json"));
  EXPECT_EQ(config["architectures"], Json({"GPTNeoXForCausalLM"}));
  EXPECT_FALSE(config.contains("auto_map"));
  for (const auto& entry : std::filesystem::directory_iterator(Path("hf"))) {
    EXPECT_NE(entry.path().extension(), ".py");
  }
}

TEST_F(ConvertCommand, KeepsATokenizersOwnConfiguration) {
  WriteTinyModel(Path("block"), TinyTextConfig());
  WriteFileAtomically(Path("block/tokenizer_config.json"), "{\"chat_template\": \"x\"}");
  Run({"--to", "hf", Path("block"), Path("hf")});
  EXPECT_EQ(ReadFile(Path("hf/tokenizer_config.json")), "{\"chat_template\": \"x\"}");
}

TEST_F(ConvertCommand, NamesTheClassOfGpt2sPairOfFiles) {
  const Json tokenizer = ReadJsonFile(Path("vanilla/tokenizer.json"));
  std::string merges;
  for (const auto& merge : tokenizer["model"]["merges"]) merges += merge.get<std::string>() + "\n";
  WriteFileAtomically(Path("vanilla/vocab.json"), tokenizer["model"]["vocab"].dump());
  WriteFileAtomically(Path("vanilla/merges.txt"), merges);
  std::filesystem::remove(Path("vanilla/tokenizer.json"));
  Run({"--to", "hf", Path("vanilla"), Path("hf")});
  EXPECT_EQ(ReadJsonFile(Path("hf/tokenizer_config.json"))["tokenizer_class"], "GPT2Tokenizer");
  Run({Path("hf"), Path("back")});
}

TEST_F(ConvertCommand, RefusesChoicesAndSizesByWhatTheyAre) {
  for (const auto& [flag, value] :
       std::vector<std::pair<std::string, std::string>>{{"--dtype", "1"},  // an enumerator's number
                                                        {"--to", "gguf"},
                                                        {"--tokenizer", ""}}) {
    EXPECT_THROW(Run({flag, value, Path("vanilla"), Path("x")}), CLI::ParseError) << flag << value;
  }
  for (const std::string value : {"-1", "0MB", "large"}) {
    EXPECT_THROW(Run({"--max-shard-size", value, Path("vanilla"), Path("x")}), Error) << value;
  }
  Run({"--dtype", "bf16", "--max-shard-size", "4kB", Path("vanilla"), Path("x")});
  EXPECT_TRUE(FileExists(Path("x/model.safetensors.index.json")));
}

TEST_F(ConvertCommand, WeightsThatAreNotNumbersLeaveNothing) {
  const ModelConfig config = ReadModelConfig(Path("vanilla"));
  std::vector<std::vector<float>> values;
  std::vector<NamedTensor> tensors;
  for (const ParameterSpec& spec : ListParameters(config)) {
    values.emplace_back(static_cast<size_t>(spec.NumElements()),
                        std::numeric_limits<float>::quiet_NaN());
    tensors.push_back(
        {spec.name, {DataType::kF32, spec.shape, std::as_bytes(std::span(values.back()))}});
  }
  WriteSafetensors(Path("vanilla/model.safetensors"), tensors);
  EXPECT_THROW(Run({Path("vanilla"), Path("x")}), Error);
  EXPECT_FALSE(FileExists(Path("x")));
}

}  // namespace
}  // namespace blockformer
