#include "config/train_recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "config/parameters.h"

namespace blockformer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kRecipe[] = "recipes/quickstart/block.yaml";

std::string ErrorOf(const std::vector<std::string>& overrides) {
  try {
    ReadTrainRecipe(kRecipe, overrides);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(Recipes, EveryShippedRecipeIsValid) {
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("recipes")) {
    if (entry.path().extension() != ".yaml" || entry.path().filename() == "sweep.yaml") continue;
    if (entry.path() == "recipes/paper/base.yaml") continue;  // no model
    SCOPED_TRACE(entry.path());
    EXPECT_NO_THROW(ReadTrainRecipe(entry.path(), {}));
    ++count;
  }
  EXPECT_GE(count, 27);
}

TEST(Recipes, PairsToCompareHaveEqualNonEmbeddingSize) {
  const auto size = [](const char* path) {
    return static_cast<double>(CountParameters(ReadRecipeModel(path)).non_embedding);
  };
  EXPECT_NEAR(size("recipes/quickstart/block.yaml") / size("recipes/quickstart/vanilla.yaml"), 1,
              0.015);
  EXPECT_NEAR(size("recipes/books/block.yaml") / size("recipes/books/vanilla.yaml"), 1, 0.01);
  EXPECT_NEAR(size("recipes/small/block_5m.yaml") / size("recipes/small/vanilla_5m.yaml"), 1, 0.03);
}

TEST(TrainRecipe, OverridesReplaceAndAddFields) {
  const TrainRecipe recipe =
      ReadTrainRecipe(kRecipe, {"training.steps=700", "training.stop_steps=7",
                                "training.dtype=bf16", "validation.prompt='17'", "output=a=b"});
  EXPECT_EQ(recipe.training.steps, 700);
  EXPECT_EQ(recipe.training.stop_steps, 7);
  EXPECT_TRUE(recipe.training.bfloat16);
  EXPECT_EQ(recipe.validation.prompt, "17");
  EXPECT_EQ(recipe.output, "a=b");
  EXPECT_EQ(recipe.document["training"]["steps"], 700);
}

TEST(TrainRecipe, TheDocumentIsItselfARecipe) {
  const TrainRecipe recipe = ReadTrainRecipe(kRecipe, {"training.steps=700"});
  const Json read_again = ParseYaml(recipe.document.dump(2), "dump");
  EXPECT_EQ(read_again, recipe.document);
  EXPECT_EQ(TrainRecipeFromJson(read_again, "dump").training.steps, 700);
}

TEST(TrainRecipe, StopStepsAreStepsUnlessSet) {
  EXPECT_EQ(ReadTrainRecipe(kRecipe, {"training.steps=300"}).training.stop_steps, 300);
}

TEST(TrainRecipe, ABudgetOfFlopsGivesTheNearestNumberOfSteps) {
  const TrainRecipe steps = ReadTrainRecipe(kRecipe, {"training.steps=500"});
  const double step = TrainingFlops(steps, 1);
  EXPECT_EQ(step, 6 * MultiplyAddsPerToken(steps.model, 512) * 4 * 512);
  const auto steps_of = [](double flops) {
    return ReadTrainRecipe(kRecipe, {"training.steps=null", "training.warmup_steps=0",
                                     fmt::format("training.flops={:.17g}", flops)})
        .training;
  };
  EXPECT_EQ(steps_of(step * 300.4).steps, 300);
  EXPECT_EQ(steps_of(step * 300.6).stop_steps, 301);
  EXPECT_EQ(steps_of(step * 0.6).steps, 1);
  EXPECT_EQ(steps_of(step * 300).flops, step * 300);
}

TEST(TrainRecipe, OneOfStepsAndFlopsIsWanted) {
  EXPECT_THAT(ErrorOf({"training.flops=1e15"}), HasSubstr("training.flops: stands beside steps"));
  EXPECT_THAT(ErrorOf({"training.steps=null"}), HasSubstr("training.steps: is missing"));
  EXPECT_THAT(ErrorOf({"training.steps=null", "training.flops=1"}),
              HasSubstr("training.flops: 1 is worth"));
  EXPECT_THAT(ErrorOf({"training.steps=null", "training.flops=1e30"}),
              HasSubstr("training.flops: 1e+30 is worth"));
  EXPECT_THAT(ErrorOf({"training.steps=null", "training.flops=-1"}),
              HasSubstr("training.flops: -1"));
}

TEST(TrainRecipe, ATablesWidthMayFollowFromTheProjection) {
  const auto width = [](const std::vector<std::string>& overrides) {
    return ReadTrainRecipe(kRecipe, overrides).model.embedder.hidden_size;
  };
  EXPECT_EQ(width({"model.embedder.hidden_size=auto"}), 48);
  EXPECT_EQ(width({"model.embedder.hidden_size=null", "model.block_length=8"}), 24);
  EXPECT_EQ(width({"model.embedder={type: lookup, projection: sum}"}), 192);
  EXPECT_THAT(ErrorOf({"model.embedder.hidden_size=wide"}), HasSubstr("embedder.hidden_size"));
}

TEST(TrainRecipe, UnknownKeysNameThemselvesAndTheKnownOnes) {
  EXPECT_THAT(ErrorOf({"training.step=3"}),
              AllOf(HasSubstr(kRecipe), HasSubstr("training.step:"), HasSubstr("stop_steps")));
  EXPECT_THAT(ErrorOf({"trainning.steps=3"}), AllOf(HasSubstr("trainning"), HasSubstr("training")));
  EXPECT_THAT(ErrorOf({"model.depth=3"}), AllOf(HasSubstr("model.depth"), HasSubstr("embedder")));
}

TEST(TrainRecipe, ImpossibleValuesNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"training.steps=0", "training.steps: 0"},
      {"training.steps=", "training.steps: is missing"},
      {"training.steps=1e3", "training.steps: 1000.0"},
      {"training.batch_size=-8", "training.batch_size: -8"},
      {"training.batch_size=99999999999999999999", "training.batch_size"},
      {"training.micro_batch_size=9", "training.micro_batch_size: 9"},
      {"training.learning_rate=.nan", "training.learning_rate: \".nan\""},
      {"training.warmup_steps=5000", "training.warmup_steps: 5000"},
      {"training.stop_steps=5000", "training.stop_steps: 5000"},
      {"training.seed=-1", "training.seed: -1"},
      {"training.device=tpu", "training.device: \"tpu\""},
      {"training.dtype=f16", "training.dtype: \"f16\""},
      {"data.packing=tight", "data.packing: \"tight\""},
      {"data.train=", "data.train: is missing"},
      {"data.validation=", "validation.interval"},
      {"checkpoint.keep_last=0", "checkpoint.keep_last: 0"},
      {"model.max_length=510", "model.max_length: 510"},
      {"model.max_length=4", "model.max_length: 4"},
      {"model.vocab_size=0", "model.vocab_size: 0"},
      {"output=", "output: is missing"},
      {"output=''", "output: is empty"},
      {"output=2024", "output: 2024 is not possible; a string is wanted, \"2024\" with its quotes"},
      {"data=7", "data: an object is wanted"},
      {"training=", "training.batch_size: is missing"},
  };
  for (const auto& [override_text, message] : cases) {
    EXPECT_THAT(ErrorOf({override_text}), HasSubstr(message)) << override_text;
  }
}

TEST(TrainRecipe, AuxiliaryLossesAreOffUnlessSetAndOfBlockModels) {
  EXPECT_FALSE(ReadTrainRecipe(kRecipe, {}).training.auxiliary.Any());
  const TrainRecipe recipe = ReadTrainRecipe(
      kRecipe, {"training.block_decoding_loss=contrastive",
                "training.block_decoding_loss_weight=0.5", "training.auto_encoding_loss_weight=2"});
  EXPECT_EQ(recipe.training.auxiliary.block_decoding, BlockDecodingLoss::kContrastive);
  EXPECT_EQ(recipe.training.auxiliary.block_decoding_weight, 0.5);
  EXPECT_EQ(recipe.training.auxiliary.auto_encoding_weight, 2);
  EXPECT_THAT(ErrorOf({"training.block_decoding_loss=cosine"}),
              AllOf(HasSubstr("training.block_decoding_loss"), HasSubstr("contrastive")));
  EXPECT_THAT(ErrorOf({"training.auto_encoding_loss_weight=-1"}),
              HasSubstr("training.auto_encoding_loss_weight"));
  const std::string vanilla =
      "model={type: vanilla, vocab_size: 64, max_length: 32, decoder: {hidden_size: 32, "
      "num_hidden_layers: 1}}";
  EXPECT_THAT(ErrorOf({vanilla, "training.block_decoding_loss=mse"}),
              AllOf(HasSubstr("training.block_decoding_loss"), HasSubstr("vanilla")));
  EXPECT_THAT(ErrorOf({vanilla, "training.auto_encoding_loss_weight=1"}),
              AllOf(HasSubstr("training.auto_encoding_loss_weight"), HasSubstr("vanilla")));
}

class RecipeBaseTest : public testing::Test {
 protected:
  RecipeBaseTest() { std::filesystem::create_directories(folder_); }
  ~RecipeBaseTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) const {
    WriteFileAtomically(folder_ + "/" + name, text);
    return folder_ + "/" + name;
  }

  std::string ErrorOf(const std::string& path) const {
    try {
      ReadRecipeDocument(path, {});
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  const std::string folder_ = testing::TempDir() + "/recipe-base-test-" + std::to_string(getpid());
};

TEST_F(RecipeBaseTest, WhatARecipeDoesNotSayIsTheBases) {
  Write("first.yaml", "data: {train: a, validation: b}\ntraining: {steps: 1, seed: 2}\n");
  Write("second.yaml", "base: first.yaml\ntraining: {steps: 3}\noutput: o\n");
  const std::string path =
      Write("third.yaml", "base: second.yaml\ndata: {validation: c}\ntraining: {seed: 5}\n");
  EXPECT_EQ(
      ReadRecipeDocument(path, {"training.steps=4"}).dump(),
      R"({"data":{"train":"a","validation":"c"},"output":"o","training":{"seed":5,"steps":4}})");
}

TEST_F(RecipeBaseTest, ASectionOfAnotherTypeReplacesTheBases) {
  const std::string base =
      "base: " + std::filesystem::absolute("recipes/small/block_5m.yaml").string() + "\n";
  const std::string roberta =
      "type: roberta, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2";
  const std::string path = Write("a.yaml", base + "model: {embedder: {" + roberta + "}}\n");
  const ModelConfig model = ReadRecipeModel(path);
  EXPECT_EQ(model.embedder.type, EmbedderType::kRoberta);
  EXPECT_EQ(model.embedder.hidden_size, 32);
  EXPECT_EQ(ReadRecipeModel(Write("b.yaml", "base: a.yaml\nmodel: {embedder: {dropout: 0.25}}\n"))
                .embedder.hidden_size,
            32);
}

TEST_F(RecipeBaseTest, ANullRemovesAField) {
  const std::string base =
      "base: " + std::filesystem::absolute("recipes/small/block_5m.yaml").string() + "\n";
  const std::string path = Write(
      "a.yaml",
      base + "training: {warmup_steps: null, bias: null}\nvalidation: null\ndata: {train: t}\n");
  const TrainRecipe recipe = ReadTrainRecipe(path, {"data.validation=null", "output=o"});
  EXPECT_EQ(recipe.training.warmup_steps, 0);
  EXPECT_FALSE(recipe.document.contains("validation"));
  EXPECT_FALSE(recipe.document["data"].contains("validation"));
}

TEST_F(RecipeBaseTest, ABaseThatCannotBeReadIsAnError) {
  EXPECT_THAT(ErrorOf(Write("a.yaml", "base: none.yaml\n")), HasSubstr("none.yaml"));
  EXPECT_THAT(ErrorOf(Write("a.yaml", "base: a.yaml\n")), HasSubstr("a.yaml: base: "));
  EXPECT_THAT(ErrorOf(Write("a.yaml", "base: ''\n")), HasSubstr("base"));
  EXPECT_THAT(ErrorOf(Write("a.yaml", "base: [b]\n")), HasSubstr("base"));
  Write("list.yaml", "[1]\n");
  EXPECT_THAT(ErrorOf(Write("a.yaml", "base: list.yaml\n")), HasSubstr("base: list.yaml"));
}

TEST(TrainRecipe, AnEmptyPromptIsNotTheDefault) {
  const auto prompt = [](const std::string& text) {
    return ReadTrainRecipe(kRecipe, {text}).validation.prompt;
  };
  EXPECT_EQ(prompt("validation.prompt="), "");
  EXPECT_EQ(prompt("validation.prompt=null"), "");
  EXPECT_EQ(prompt("validation.prompt=\"1984\""), "1984");
  EXPECT_EQ(prompt("validation={}"), "The");
}

TEST(TrainRecipe, MalformedOverridesAreErrors) {
  EXPECT_THAT(ErrorOf({"training.steps"}), HasSubstr("is not an override"));
  EXPECT_THAT(ErrorOf({"=3"}), HasSubstr("is not an override"));
  EXPECT_THAT(ErrorOf({"output.name=3"}), HasSubstr("output is a value"));
  EXPECT_THAT(ErrorOf({"training..steps=3"}), HasSubstr("training."));
  EXPECT_THROW(ReadTrainRecipe(kRecipe, {"training.steps=[1"}), Error);
}

TEST(TrainRecipe, AMissingFileIsAnError) {
  EXPECT_THROW(ReadTrainRecipe("recipes/none.yaml", {}), Error);
  EXPECT_THROW(ReadRecipeModel("recipes/none.yaml"), Error);
}

}  // namespace
}  // namespace blockformer
