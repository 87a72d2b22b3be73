// Runs that begin with the weights of a model directory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "checkpoint/convert.h"
#include "checkpoint/model_directory.h"
#include "tests/train/training_run.h"
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
