// `blockformer eval loss` against the validation loss that the trainer wrote.
#include <gtest/gtest.h>

#include "base/child_process.h"
#include "tests/train/training_run.h"

namespace blockformer::train {
namespace {

constexpr double kEvalLossTolerance = 1e-4;

// Trains a few steps with the overrides and compares the last validation loss.
void ExpectSameLoss(std::vector<std::string> overrides) {
  const TrainingFolder folder;
  overrides.insert(overrides.begin(), folder.recipe_path());
  TrainerProcess trainer(overrides, folder.Path("errors"));
  ASSERT_EQ(trainer.Wait(), 0) << trainer.Errors();
  const Json validation = [&] {
    Json last;
    for (const Json& line : ReadMetrics(folder.Path("run"))) {
      if (line.contains("validation_loss")) last = line;
    }
    return last;
  }();
  ASSERT_FALSE(validation.is_null());
  const int64_t samples = folder.Read().validation.samples;
  ASSERT_EQ(RunProcess({BLOCKFORMER_PROGRAM, "eval", "loss", folder.Path("run"), "--data",
                        folder.Path("validation"), "--limit", std::to_string(samples), "--json",
                        folder.Path("loss.json")},
                       folder.Path("eval.log")),
            0)
      << ReadFile(folder.Path("eval.log"));
  const Json result = ReadJsonFile(folder.Path("loss.json"))["results"][0];
  EXPECT_NEAR(result["loss"].get<double>(), validation["validation_loss"].get<double>(),
              kEvalLossTolerance);
  const Json& by_position = validation["validation_loss_by_position"];
  ASSERT_EQ(result["loss_by_position"].size(), by_position.size());
  for (size_t i = 0; i < by_position.size(); ++i) {
    EXPECT_NEAR(result["loss_by_position"][i].get<double>(), by_position[i].get<double>(),
                kEvalLossTolerance)
        << i;
  }
}

TEST(EvalLoss, EqualsTheTrainersOfABlockModel) { ExpectSameLoss({}); }

TEST(EvalLoss, EqualsTheTrainersWithoutPadding) {
  ExpectSameLoss({"model.padding={random_first_block: false, to_block_boundary: false}"});
}

TEST(EvalLoss, EqualsTheTrainersOfAVanillaModel) {
  ExpectSameLoss(
      {"model={type: vanilla, vocab_size: 64, max_length: 32, decoder: {hidden_size: "
       "32, num_hidden_layers: 2, num_attention_heads: 2}}"});
}

}  // namespace
}  // namespace blockformer::train
