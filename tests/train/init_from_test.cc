// Runs that begin with the weights of a model directory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "checkpoint/convert.h"
#include "checkpoint/model_directory.h"
#include "data/token_file_info.h"
#include "tests/train/training_run.h"
#include "text/bpe_trainer.h"
#include "train/loop/trainer.h"

namespace blockformer::train {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void TrainModel(const TrainRecipe& recipe) { Train(recipe, {"test", false}, ProcessRank()); }

std::string ErrorOf(const TrainRecipe& recipe) {
  try {
    TrainModel(recipe);
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

double LastValidationLoss(const std::string& output) {
  return ReadMetrics(output).back()["validation_loss"];
}

TEST(InitFrom, BeginsWithTheLossOfTheSource) {
  const TrainingFolder folder;
  TrainModel(folder.Read());
  // A step with a rate of 0 changes nothing.
  const TrainRecipe second =
      folder.Read({"init_from=" + folder.Path("run"), "output=" + folder.Path("second"),
                   "training.steps=1", "training.warmup_steps=0", "training.learning_rate=0"});
  TrainModel(second);
  EXPECT_NEAR(LastValidationLoss(folder.Path("second")), LastValidationLoss(folder.Path("run")),
              1e-6);
  EXPECT_THAT(ReadFile(folder.Path("second/README.md")),
              HasSubstr("initial weights | `" + folder.Path("run")));
}

TEST(InitFrom, TakesTheModelOfTheDirectoryAndNeedsItOnlyOnce) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.steps=5"}));
  const std::vector<std::string> overrides = {"model=null", "init_from=" + folder.Path("run"),
                                              "output=" + folder.Path("second")};
  const TrainRecipe second = folder.Read(overrides);
  EXPECT_EQ(second.model, folder.Read().model);
  TrainModel(second);
  const double loss = LastValidationLoss(folder.Path("second"));
  // The same command finds its own checkpoint, though the directory has other weights by now.
  TrainModel(folder.Read({"training.steps=20", "training.seed=42"}));
  TrainModel(folder.Read(overrides));
  EXPECT_EQ(LastValidationLoss(folder.Path("second")), loss);
  // Nor has the directory to be there.
  std::filesystem::remove_all(folder.Path("run"));
  TrainModel(folder.Read(overrides));
  EXPECT_EQ(LastValidationLoss(folder.Path("second")), loss);
}

TEST(InitFrom, TrainsOnAConvertedVanillaModel) {
  const TrainingFolder folder;
  ModelConfig vanilla;
  vanilla.kind = ModelKind::kVanilla;
  vanilla.vocab_size = 64;
  vanilla.max_length = 32;
  vanilla.decoder = {32, 2, 2, 128};
  TrainRecipe recipe = folder.Read({"output=" + folder.Path("vanilla")});
  recipe.model = vanilla;
  recipe.document["model"] = ModelConfigToRecipe(vanilla);
  TrainModel(recipe);
  ConvertOptions options;
  options.source = folder.Path("vanilla/latest");
  options.destination = folder.Path("block");
  options.uptrain = UptrainOptions{.block_length = 4};
  ConvertCheckpoint(options, ConvertCallbacks());
  TrainModel(folder.Read({"model=null", "init_from=" + folder.Path("block")}));
  EXPECT_LT(LastValidationLoss(folder.Path("run")), 4.0);
}

TEST(InitFrom, TakesTheTokenizerOfTheDirectory) {
  const TrainingFolder folder;
  const auto write_tokenizer = [&](const std::string& directory, const char* text) {
    MakeDirectories(folder.Path(directory));
    bool done = false;
    const TokenizerDescription tokenizer = TrainBpe(
        [&](std::string* out) {
          *out = text;
          return !std::exchange(done, true);
        },
        {.vocab_size = 260});
    WriteFileAtomically(folder.Path(directory) + "/tokenizer.json", WriteTokenizerJson(tokenizer));
  };
  write_tokenizer("first", "words words words words");
  write_tokenizer("other", "phrase phrase phrase phrase");
  const std::vector<std::string> settings = {"model.vocab_size=300", "training.steps=5"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), settings.begin(), settings.end());
    return more;
  };
  TrainModel(folder.Read(with({"data.tokenizer=" + folder.Path("first")})));
  const std::vector<std::string> second =
      with({"init_from=" + folder.Path("run"), "output=" + folder.Path("second")});
  TrainModel(folder.Read(second));
  EXPECT_EQ(ReadFile(folder.Path("second/tokenizer.json")),
            ReadFile(folder.Path("first/tokenizer.json")));
  EXPECT_TRUE(ReadMetrics(folder.Path("second")).back().contains("sample"));
  // Tokens that another one made are refused.
  const Tokenizer other = Tokenizer::Load(folder.Path("other"));
  const TokenFile tokens(folder.Path("train"));
  WriteFileAtomically(
      TokenFileInfoPath(folder.Path("train")),
      TokenFileInfoText({tokens.NumDocuments(), tokens.NumTokens(), 1, other.VocabSize(),
                         folder.Path("other"), TokenizerFingerprint(other)}));
  EXPECT_THAT(ErrorOf(folder.Read(
                  with({"init_from=" + folder.Path("run"), "output=" + folder.Path("third")}))),
              AllOf(HasSubstr("init_from: the tokenizer in " + folder.Path("run")),
                    HasSubstr("is not the tokenizer that made"), HasSubstr("data.tokenizer")));
  std::filesystem::remove(TokenFileInfoPath(folder.Path("train")));
  // A run that continues has its own.
  std::filesystem::remove_all(folder.Path("run"));
  std::vector<std::string> longer = second;
  longer.push_back("training.steps=6");
  TrainModel(folder.Read(longer));
  EXPECT_TRUE(FileExists(folder.Path("second/checkpoints/step-00000006/tokenizer.json")));
}

TEST(InitFrom, RefusesWeightsThatAreNotFinite) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.steps=5"}));
  std::filesystem::copy(folder.Path("run/latest") + "/", folder.Path("damaged"));
  const std::string path = folder.Path("damaged/model.safetensors");
  std::string bytes = ReadFile(path);
  std::fill_n(bytes.end() - 4, 4, '\xff');  // the last value of the last tensor: a NaN
  WriteFileAtomically(path, bytes);
  EXPECT_THAT(ErrorOf(folder.Read(
                  {"init_from=" + folder.Path("damaged"), "output=" + folder.Path("second")})),
              AllOf(HasSubstr(folder.Path("damaged") + ": tensor "), HasSubstr("nan")));
}

TEST(InitFrom, NamesTheFirstFieldThatDiffers) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.steps=5"}));
  const std::string from = "init_from=" + folder.Path("run");
  const std::string output = "output=" + folder.Path("second");
  EXPECT_THAT(ErrorOf(folder.Read({from, output, "model.token_decoder.expansion_ratio=3"})),
              AllOf(HasSubstr("/token_decoder/expansion_ratio"), HasSubstr("has 2"),
                    HasSubstr("recipe's model 3")));
  EXPECT_THAT(ErrorOf(folder.Read({"init_from=/nowhere", output})), HasSubstr("/nowhere"));
  EXPECT_THROW(folder.Read({"model=null", "init_from=''", output}), Error);
  EXPECT_THAT(ErrorOf(folder.Read({from, output,
                                   "model={type: vanilla, vocab_size: 64, max_length: 32, "
                                   "decoder: {hidden_size: 32, num_hidden_layers: 1}}"})),
              HasSubstr("--uptrain"));
  // Neither the context nor the padding is anything that a weight depends on.
  EXPECT_EQ(ErrorOf(folder.Read({from, output, "model.max_length=64",
                                 "model.padding={random_first_block: false}"})),
            "no error");
}

}  // namespace
}  // namespace blockformer::train
