#include "train/loop/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/program.h"
#include "checkpoint/model_directory.h"
#include "checkpoint/safetensors.h"
#include "tests/train/training_run.h"
#include "text/bpe_trainer.h"
#include "train/loop/batch_loader.h"
#include "train/loop/training_state.h"
#include "train/model/weights.h"

namespace blockformer::train {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

void TrainModel(const TrainRecipe& recipe, bool restart = false) {
  Train(recipe, {"blockformer train test", restart}, ProcessRank());
}

std::string ErrorOf(const TrainRecipe& recipe, ErrorCode code, bool restart = false) {
  try {
    TrainModel(recipe, restart);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "no error";
}

void ExpectFiniteTensors(const std::string& path) {
  const SafetensorsFile file(path);
  for (const auto& [name, tensor] : file.tensors()) {
    if (tensor.type != DataType::kF32) continue;  // the state of the random generator
    for (const float value : std::span(reinterpret_cast<const float*>(tensor.bytes.data()),
                                       tensor.bytes.size() / sizeof(float))) {
      ASSERT_TRUE(std::isfinite(value)) << path << ": " << name;
    }
  }
}

double FinalLoss(const std::string& output) {
  return ReadMetrics(output).back()["validation_loss"];
}

TEST(Trainer, LearnsAndLeavesAModelDirectory) {
  const TrainingFolder folder;
  TrainModel(folder.Read());
  const std::vector<Json> metrics = ReadMetrics(folder.Path("run"));
  ASSERT_EQ(metrics.size(), 24u);  // 20 steps, 4 validations
  EXPECT_NEAR(metrics.front()["loss"].get<double>(), std::log(64), 0.1);
  EXPECT_LT(FinalLoss(folder.Path("run")), 2.8);
  EXPECT_EQ(metrics[3]["learning_rate"], 1e-2);  // the end of the warm-up
  EXPECT_EQ(metrics[22]["tokens"], 20 * 8 * 32);

  const TrainRecipe recipe = folder.Read();
  for (const char* name : {"run", "run/latest", "run/best", "run/checkpoints/step-00000015"}) {
    EXPECT_EQ(ReadModelConfig(folder.Path(name)), recipe.model);
    EXPECT_NO_THROW(SafetensorsWeights(folder.Path(name), recipe.model));
  }
  EXPECT_FALSE(FileExists(folder.Path("run/checkpoints/step-00000010")));  // keep_last is 2
  EXPECT_THAT(ReadFile(folder.Path("run/README.md")),
              AllOf(HasSubstr("blockformer train test"), HasSubstr("60 documents")));
}

// How many tokens of all samples of a file are predicted at each position in the block: those that
// are no padding, but for the first block of a sample.
std::vector<double> PredictedByPosition(const std::string& prefix, const ModelConfig& model) {
  const BatchLoader loader(prefix, model, /*published_packing=*/false);
  const int64_t length = model.block_length;
  std::vector<int64_t> samples(loader.NumSamples());
  std::iota(samples.begin(), samples.end(), 0);
  const torch::Tensor counts = loader.Read(samples, torch::kCPU)
                                   .mask.narrow(1, length, model.max_length - length)
                                   .reshape({-1, length})
                                   .sum(0, false, torch::kFloat64);
  return {counts.data_ptr<double>(), counts.data_ptr<double>() + length};
}

TEST(Trainer, LossesByPositionAverageToTheValidationLoss) {
  const TrainingFolder folder;
  const TrainRecipe recipe = folder.Read({"validation.samples=1000000"});  // all there are
  TrainModel(recipe);
  const std::vector<double> counts = PredictedByPosition(folder.Path("validation"), recipe.model);
  EXPECT_NE(counts.front(), counts.back());  // so that a mean without weights is another
  int validations = 0;
  for (const Json& line : ReadMetrics(folder.Path("run"))) {
    if (!line.contains("validation_loss")) continue;
    ++validations;
    const Json& losses = line["validation_loss_by_position"];
    ASSERT_EQ(losses.size(), counts.size());
    double sum = 0, count = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      sum += counts[i] * losses[i].get<double>();
      count += counts[i];
    }
    EXPECT_NEAR(sum / count, line["validation_loss"].get<double>(), 1e-6) << line["step"];
  }
  EXPECT_EQ(validations, 4);
}

TEST(Trainer, ResumesBitForBit) {
  const TrainingFolder folder;
  folder.WriteTokens("train", 35, 1);  // few enough that the steps after 10 begin a second epoch
  const int64_t samples =
      BatchLoader(folder.Path("train"), folder.Read().model, false).NumSamples();
  ASSERT_TRUE(10 * 8 < samples && samples < 20 * 8) << samples;
  TrainModel(folder.Read({"output=" + folder.Path("whole")}));
  TrainModel(folder.Read({"training.stop_steps=10"}));
  ASSERT_TRUE(FileExists(folder.Path("run/checkpoints/step-00000010")));
  TrainModel(folder.Read());
  ExpectSameTensors(folder.Path("whole"), folder.Path("run"));
  EXPECT_EQ(ReadMetrics(folder.Path("whole")), ReadMetrics(folder.Path("run")));
}

TEST(Trainer, ResumesBitForBitWithDropout) {
  const TrainingFolder folder;
  const auto train = [&](const std::string& output, const std::string& setting) {
    std::vector<std::string> overrides = TrainingFolder::EncoderAndT5(0.2);
    overrides.insert(overrides.end(), {setting, "output=" + folder.Path(output)});
    TrainModel(folder.Read(overrides));
  };
  train("whole", "training.stop_steps=15");
  // At a step where no validation was due.
  train("run", "training.stop_steps=7");
  train("run", "training.stop_steps=15");
  ExpectSameTensors(folder.Path("whole"), folder.Path("run"));
  EXPECT_LT(FinalLoss(folder.Path("run")), ReadMetrics(folder.Path("run"))[0]["loss"]);
}

TEST(Trainer, DropoutActsInTrainingOnly) {
  const TrainingFolder folder;
  const auto losses = [&](const std::string& output, double rate) {
    std::vector<std::string> overrides = TrainingFolder::EncoderAndT5(rate);
    overrides.insert(overrides.end(), {"training.stop_steps=1", "training.learning_rate=0",
                                       "output=" + folder.Path(output)});
    TrainModel(folder.Read(overrides));
    const std::vector<Json> metrics = ReadMetrics(folder.Path(output));
    return std::pair(metrics[0]["loss"].get<double>(), metrics[1]["validation_loss"].get<double>());
  };
  const auto without = losses("without", 0);
  const auto with = losses("with", 0.3);
  EXPECT_NE(with.first, without.first);
  EXPECT_EQ(with.second, without.second);
}

TEST(Trainer, AuxiliaryLossesAreLoggedAndFall) {
  const TrainingFolder folder;
  TrainModel(folder.Read(
      {"training.block_decoding_loss=contrastive", "training.auto_encoding_loss_weight=0.5"}));
  const std::vector<Json> metrics = ReadMetrics(folder.Path("run"));
  for (const char* name : {"block_decoding_loss", "auto_encoding_loss"}) {
    EXPECT_LT(metrics[22][name].get<double>(), metrics[0][name].get<double>()) << name;
  }
  EXPECT_LT(FinalLoss(folder.Path("run")), 2.8);
}

TEST(Trainer, StepsAfterTheCheckpointAreWrittenOnce) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"output=" + folder.Path("whole")}));
  TrainModel(folder.Read({"training.stop_steps=10"}));
  // As after a crash: steps that no checkpoint holds, and a line cut short.
  std::ofstream(folder.Path("run/metrics.jsonl"), std::ios::app)
      << "{\"step\": 11, \"loss\": 7}\n{\"step\": 12, \"lo";
  TrainModel(folder.Read());
  EXPECT_EQ(ReadMetrics(folder.Path("whole")), ReadMetrics(folder.Path("run")));
}

TEST(Trainer, MicroBatchesChangeNothing) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.stop_steps=5", "output=" + folder.Path("whole")}));
  TrainModel(folder.Read({"training.stop_steps=5", "training.micro_batch_size=1"}));
  EXPECT_NEAR(FinalLoss(folder.Path("whole")), FinalLoss(folder.Path("run")), 1e-5);
}

TEST(Trainer, PublishedAverageWeighsMicroBatchesEqually) {
  const TrainingFolder folder;
  const auto first_loss = [&](const std::string& name, const std::string& setting) {
    TrainModel(
        folder.Read({"training.stop_steps=1", "validation.interval=0",
                     "training.micro_batch_size=1", setting, "output=" + folder.Path(name)}));
    return ReadMetrics(folder.Path(name))[0]["loss"].get<double>();
  };
  const double tokens = first_loss("tokens", "training.loss_average=tokens");
  const double published = first_loss("published", "training.loss_average=published");
  EXPECT_NE(tokens, published);
  EXPECT_NEAR(tokens, published, 0.05);
}

TEST(Trainer, VanillaModelsTrain) {
  const TrainingFolder folder;
  const std::string text = ReadFile(folder.recipe_path());
  const std::string vanilla =
      "model: {type: vanilla, vocab_size: 64, max_length: 32, decoder: {hidden_size: 32, "
      "num_hidden_layers: 1, num_attention_heads: 2}}\n";
  WriteFileAtomically(folder.recipe_path(), vanilla + text.substr(text.find("training:")));
  TrainModel(folder.Read());
  EXPECT_LT(FinalLoss(folder.Path("run")), 3.0);
}

TEST(Trainer, TextSamplesAreWrittenAndChangeNothing) {
  const TrainingFolder folder;
  bool done = false;
  const TokenizerDescription tokenizer = TrainBpe(
      [&done](std::string* text) {
        *text = "a text of a few words";
        return !std::exchange(done, true);
      },
      {.vocab_size = kMinTrainedVocabulary});
  WriteFileAtomically(folder.Path("tokenizer.json"), WriteTokenizerJson(tokenizer));
  const std::vector<std::string> settings = {"data.tokenizer=" + folder.Path("tokenizer.json"),
                                             "model.vocab_size=300", "training.stop_steps=10"};
  const auto with = [&settings](const std::string& setting) {
    std::vector<std::string> result = settings;
    result.push_back(setting);
    return result;
  };
  TrainModel(folder.Read(with("validation.prompt=few words")));
  TrainRecipe silent = folder.Read(with("validation.sample_tokens=0"));
  silent.output = folder.Path("silent");
  TrainModel(silent);
  EXPECT_THAT(ReadMetrics(folder.Path("run")).back()["sample"].get<std::string>(),
              StartsWith("few words"));
  ExpectSameTensors(folder.Path("silent"), folder.Path("run"));
  EXPECT_TRUE(FileExists(folder.Path("run/tokenizer.json")));
}

TEST(Trainer, SeedChangesWeightsAndOrder) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.stop_steps=1"}));
  TrainModel(
      folder.Read({"training.stop_steps=1", "training.seed=7", "output=" + folder.Path("other")}));
  EXPECT_NE(ReadMetrics(folder.Path("run"))[0]["loss"],
            ReadMetrics(folder.Path("other"))[0]["loss"]);
}

TEST(Trainer, ADamagedCheckpointGivesWayToTheOneBefore) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"output=" + folder.Path("whole")}));
  TrainModel(folder.Read({"training.stop_steps=15"}));
  std::filesystem::resize_file(folder.Path("run/checkpoints/step-00000015/optimizer.safetensors"),
                               5000);
  TrainModel(folder.Read());
  ExpectSameTensors(folder.Path("whole"), folder.Path("run"));
  EXPECT_TRUE(FileExists(folder.Path("run/checkpoints/unreadable-step-00000015.1")));
  EXPECT_EQ(ReadMetrics(folder.Path("whole")), ReadMetrics(folder.Path("run")));
}

TEST(Trainer, ADamagedStateGivesWayToTheOneBefore) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.stop_steps=10"}));
  const std::string path = folder.Path("run/checkpoints/step-00000010/state.json");
  Json state = ParseJson(ReadFile(path), path);
  state["best_step"] = "ten";
  std::filesystem::remove(path);
  WriteFileAtomically(path, state.dump());
  try {
    ReadTrainingState(folder.Path("run/checkpoints/step-00000010"), folder.Read());
    ADD_FAILURE() << "a wrong type is accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.what();
  }
  TrainModel(folder.Read({"training.stop_steps=10"}));
  EXPECT_TRUE(FileExists(folder.Path("run/checkpoints/unreadable-step-00000010.1")));
}

TEST(Trainer, WithoutAReadableCheckpointItDoesNotBeginAnewUnasked) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.stop_steps=5"}));
  std::filesystem::remove(folder.Path("run/checkpoints/step-00000005/state.json"));
  EXPECT_THAT(ErrorOf(folder.Read(), ErrorCode::kCorrupt), HasSubstr("--restart"));
  EXPECT_TRUE(FileExists(folder.Path("run/model.safetensors")));  // no link points to nothing
}

// What earlier versions kept of libtorch's generator is not needed.
TEST(Trainer, ARandomStateOfAnEarlierVersionIsIgnored) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"output=" + folder.Path("whole")}));
  TrainModel(folder.Read({"training.stop_steps=15"}));
  const std::string path = folder.Path("run/checkpoints/step-00000015/optimizer.safetensors");
  NamedTensors tensors;
  {
    const SafetensorsFile file(path);
    EXPECT_FALSE(file.Contains("random_state"));
    for (const auto& [name, view] : file.tensors()) {
      tensors.emplace_back(name, torch::tensor(ToFloats(view, name)).view(view.shape));
    }
  }
  tensors.emplace_back("random_state", torch::zeros({5056}, torch::kInt64));  // no generator's
  WriteTensors(path, tensors);
  TrainModel(folder.Read());
  ExpectSameTensors(folder.Path("whole"), folder.Path("run"));
  EXPECT_FALSE(FileExists(folder.Path("run/checkpoints/unreadable-step-00000015.1")));
}

// `documents` of ids that the vocabulary, of 64, does not hold.
void WriteForeignTokens(const std::string& prefix, int documents) {
  TokenFileWriter writer(prefix, 100);
  for (int i = 0; i < documents; ++i) writer.Add(std::vector<int32_t>(200, 99));
  writer.Commit();
}

TEST(Trainer, AValidationThatFailsLosesNoStep) {
  const TrainingFolder folder;
  WriteForeignTokens(folder.Path("validation"), 1);
  const std::vector<std::string> settings = {"validation.interval=0", "checkpoint.interval=0"};
  EXPECT_THAT(ErrorOf(folder.Read(settings), ErrorCode::kCorrupt), HasSubstr("token 99"));
  EXPECT_EQ(ReadJsonFile(folder.Path("run/latest/state.json"))["step"], 20);
  // The same command makes up for it, once.
  folder.WriteTokens("validation", 10, 2);
  for (int i = 0; i < 2; ++i) TrainModel(folder.Read(settings));
  const std::vector<Json> metrics = ReadMetrics(folder.Path("run"));
  EXPECT_EQ(metrics.size(), 21u);
  EXPECT_TRUE(metrics.back().contains("validation_loss"));
  EXPECT_EQ(ReadJsonFile(folder.Path("run/best/state.json"))["best_step"], 20);
}

TEST(Trainer, AnErrorWithinAStepSavesTheStepsBefore) {
  const TrainingFolder folder;
  const TrainRecipe recipe =
      folder.Read({"validation.interval=0", "checkpoint.interval=0", "training.steps=200"});
  TokenFileWriter writer(folder.Path("train"), 100);
  for (int i = 0; i < 400; ++i) writer.Add(std::vector<int32_t>(100, i == 77 ? 99 : 1));
  writer.Commit();
  EXPECT_THAT(ErrorOf(recipe, ErrorCode::kCorrupt), HasSubstr("token 99"));
  const int64_t steps = ReadJsonFile(folder.Path("run/latest/state.json"))["step"];
  EXPECT_GT(steps, 0);
  EXPECT_EQ(ReadMetrics(folder.Path("run")).back()["step"], steps);
}

// A validation may take longer than whoever stops a run waits; here it fails.
TEST(TrainerDeathTest, AStopSavesBeforeItValidates) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto stop_at_once = [] {
    const TrainingFolder folder;
    WriteForeignTokens(folder.Path("validation"), 1);
    CatchStopSignals();
    raise(SIGINT);
    const std::string error = ErrorOf(
        folder.Read({"validation.interval=1", "training.micro_batch_size=8"}), ErrorCode::kCorrupt);
    const bool is_saved = FileExists(folder.Path("run/latest/state.json"));
    std::filesystem::remove_all(folder.Path(""));
    std::fputs(error.c_str(), stderr);
    _exit(is_saved ? 0 : 1);
  };
  EXPECT_EXIT(stop_at_once(), testing::ExitedWithCode(0), "token 99");
}

TEST(TrainerDeathTest, AStopLeavesTheValidationLossInItsCheckpoint) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto stop_at_once = [] {
    const TrainingFolder folder;
    CatchStopSignals();
    raise(SIGINT);
    ErrorOf(folder.Read({"validation.interval=1", "training.micro_batch_size=8"}),
            ErrorCode::kInterrupted);
    const Json state = ReadJsonFile(folder.Path("run/best/state.json"));
    std::filesystem::remove_all(folder.Path(""));
    _exit(state["best_step"] == 1 && state["validation_loss"].is_number() ? 0 : 1);
  };
  EXPECT_EXIT(stop_at_once(), testing::ExitedWithCode(0), "");
}

TEST(Trainer, AMetricsFileOfAnotherProgramIsKept) {
  const TrainingFolder folder;
  MakeDirectories(folder.Path("run"));
  WriteFileAtomically(folder.Path("run/metrics.jsonl"), "mine\n");
  EXPECT_THAT(ErrorOf(folder.Read(), ErrorCode::kInvalidArgument),
              HasSubstr("run/metrics.jsonl is there already"));
  EXPECT_EQ(ReadFile(folder.Path("run/metrics.jsonl")), "mine\n");
}

// As a newer version may write it, with fields and values that this one does not know.
TEST(Trainer, ANewerCheckpointIsNotDamaged) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.stop_steps=10"}));
  const std::string path = folder.Path("run/checkpoints/step-00000010/state.json");
  const Json state = ReadJsonFile(path);
  const auto expect_refusal = [&](const char* pointer, const Json& value) {
    Json newer = state;
    newer[Json::json_pointer(pointer)] = value;
    WriteFileAtomically(path, newer.dump());
    EXPECT_THAT(ErrorOf(folder.Read(), ErrorCode::kUnsupported), HasSubstr(path));
    EXPECT_EQ(ReadFile(path), newer.dump());
    EXPECT_EQ(std::filesystem::read_symlink(folder.Path("run/latest")),
              "checkpoints/step-00000010");
  };
  expect_refusal("/phase", "cooldown");
  expect_refusal("/data/shards", 3);
  expect_refusal("/recipe/training/optimizer", "muon");
  expect_refusal("/recipe/training/dtype", "fp8");
  expect_refusal("/format", 2);
  WriteFileAtomically(path, state.dump());
  TrainModel(folder.Read({"training.stop_steps=11"}));
}

TEST(Trainer, RefusesAnOutputWithAnotherModelsFiles) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.stop_steps=5", "output=" + folder.Path("other")}));
  MakeDirectories(folder.Path("run"));
  for (const char* name : {"config.json", "model.safetensors"}) {
    std::filesystem::copy_file(folder.Path("other/") + name, folder.Path("run/") + name);
  }
  const std::string weights = ReadFile(folder.Path("run/model.safetensors"));
  const auto recipe = [&] { return folder.Read({"init_from=" + folder.Path("run")}); };
  EXPECT_THAT(ErrorOf(recipe(), ErrorCode::kInvalidArgument),
              AllOf(HasSubstr("run/config.json"), HasSubstr("--restart")));
  EXPECT_FALSE(FileExists(folder.Path("run/checkpoints")));
  std::filesystem::remove(folder.Path("run/config.json"));
  EXPECT_THAT(ErrorOf(folder.Read(), ErrorCode::kInvalidArgument),
              HasSubstr("run/model.safetensors"));
  std::filesystem::copy_file(folder.Path("other/config.json"), folder.Path("run/config.json"));
  TrainModel(recipe(), /*restart=*/true);
  EXPECT_EQ(ReadFile(folder.Path("run.old-1/model.safetensors")), weights);
  EXPECT_NE(ReadFile(folder.Path("run/model.safetensors")), weights);
  EXPECT_EQ(ReadJsonFile(folder.Path("run/latest/state.json"))["recipe"]["init_from"],
            folder.Path("run.old-1"));
}

TEST(Trainer, RestartKeepsTheEarlierRun) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.stop_steps=5"}));
  TrainModel(folder.Read({"training.stop_steps=2"}), true);
  EXPECT_TRUE(FileExists(folder.Path("run.old-1/checkpoints/step-00000005")));
  EXPECT_TRUE(FileExists(folder.Path("run/checkpoints/step-00000002")));
  EXPECT_EQ(ReadMetrics(folder.Path("run")).front()["step"], 1);
}

TEST(Trainer, RestartOfALinkKeepsTheLink) {
  const TrainingFolder folder;
  MakeDirectories(folder.Path("disk/real"));
  std::filesystem::create_directory_symlink("disk/real", folder.Path("run"));
  TrainModel(folder.Read({"training.stop_steps=5"}));
  TrainModel(folder.Read({"training.stop_steps=2"}), true);
  EXPECT_EQ(std::filesystem::read_symlink(folder.Path("run")), "disk/real");
  EXPECT_TRUE(FileExists(folder.Path("disk/real.old-1/checkpoints/step-00000005")));
  EXPECT_TRUE(FileExists(folder.Path("disk/real/checkpoints/step-00000002")));
}

TEST(Trainer, RefusesToContinueAnotherRun) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.stop_steps=1", "validation.interval=0"}));
  const std::pair<const char*, const char*> cases[] = {
      {"training.seed=7", "training.seed 42"},
      {"training.batch_size=16", "training.batch_size 8"},
      {"training.loss_average=published", "training.loss_average \"tokens\""},
      {"data.packing=published", "data.packing \"corrected\""},
      {"model.token_decoder.num_hidden_layers=2", "model.token_decoder.num_hidden_layers 1"},
      {"model.padding={random_first_block: false}", "model.padding.random_first_block true"},
  };
  for (const auto& [override_text, message] : cases) {
    EXPECT_THAT(ErrorOf(folder.Read({override_text}), ErrorCode::kInvalidArgument),
                AllOf(HasSubstr(message), HasSubstr("--restart")));
  }
  // As many documents and tokens, in another order.
  const TokenFile tokens(folder.Path("train"));
  TokenFileWriter writer(folder.Path("turned"), 64);
  for (int64_t i = tokens.NumDocuments() - 1; i >= 0; --i) {
    std::vector<int32_t> document(tokens.DocumentLength(i));
    tokens.ReadTokens(i, 0, document);
    writer.Add(document);
  }
  writer.Commit();
  EXPECT_THAT(
      ErrorOf(folder.Read({"data.train=" + folder.Path("turned")}), ErrorCode::kInvalidArgument),
      AllOf(HasSubstr("data.train"), HasSubstr("other tokens")));
  folder.WriteTokens("train", 59, 1);
  EXPECT_THAT(ErrorOf(folder.Read(), ErrorCode::kInvalidArgument),
              AllOf(HasSubstr("data.train"), HasSubstr("59 documents")));
}

TEST(Trainer, ContinuesFromTheStateOfAnEarlierVersion) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"output=" + folder.Path("whole")}));
  TrainModel(folder.Read({"training.stop_steps=10"}));
  const std::string path = folder.Path("run/checkpoints/step-00000010/state.json");
  Json state = ReadJsonFile(path);
  state["data"].erase("sample");
  state.erase("validation_step");
  WriteFileAtomically(path, state.dump());
  TrainModel(folder.Read());
  ExpectSameTensors(folder.Path("whole"), folder.Path("run"));
  EXPECT_EQ(ReadMetrics(folder.Path("whole")), ReadMetrics(folder.Path("run")));
  EXPECT_TRUE(ReadJsonFile(folder.Path("run/latest/state.json"))["data"].contains("sample"));
}

TEST(Trainer, LossesOfOtherValidationDataAreNotCompared) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.stop_steps=10"}));
  const auto best_step = [&] {
    return ReadJsonFile(folder.Path("run/latest/state.json"))["best_step"].get<int64_t>();
  };
  ASSERT_EQ(best_step(), 10);
  // A loss that no other can be below.
  const std::string state_path = folder.Path("run/checkpoints/step-00000010/state.json");
  Json state = ReadJsonFile(state_path);
  state["best_loss"] = 0.001;
  WriteFileAtomically(state_path, state.dump());
  TrainModel(folder.Read({"training.stop_steps=11"}));
  EXPECT_EQ(best_step(), 10);
  folder.WriteTokens("other", 11, 3);
  TrainModel(folder.Read({"training.stop_steps=12", "data.validation=" + folder.Path("other")}));
  EXPECT_EQ(best_step(), 12);
  EXPECT_EQ(std::filesystem::read_symlink(folder.Path("run/best")), "checkpoints/step-00000012");
  TrainModel(folder.Read({"training.stop_steps=13", "data.validation=" + folder.Path("other"),
                          "validation.samples=8", "training.learning_rate=0"}));
  EXPECT_EQ(best_step(), 13);
}

TEST(Trainer, TheScheduleMayBeExtended) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.steps=6", "training.micro_batch_size=8"}));
  TrainModel(folder.Read({"training.steps=8", "training.micro_batch_size=8"}));
  EXPECT_TRUE(FileExists(folder.Path("run/checkpoints/step-00000008")));
}

TEST(Trainer, ARunThatIsPastItsLastStepSaysSo) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.stop_steps=5"}));
  testing::internal::CaptureStderr();
  TrainModel(folder.Read({"training.stop_steps=3"}));
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, AllOf(HasSubstr("warning: training.stop_steps: "),
                         HasSubstr("has 5 steps already, more than 3"), Not(HasSubstr("100 %"))));
}

TEST(Trainer, OnlyOneProcessTrainsInADirectory) {
  const TrainingFolder folder;
  MakeDirectories(folder.Path("run/checkpoints"));
  TrainerProcess other({folder.recipe_path(), "training.steps=1000000"}, folder.Path("errors"));
  ASSERT_TRUE(WaitUntil([&] { return FileExists(folder.Path("run/latest")); }));
  EXPECT_THAT(ErrorOf(folder.Read(), ErrorCode::kInvalidArgument), HasSubstr("in use"));
  EXPECT_THAT(ErrorOf(folder.Read(), ErrorCode::kInvalidArgument, /*restart=*/true),
              HasSubstr("in use"));
  EXPECT_FALSE(FileExists(folder.Path("run.old-1")));
}

TEST(Trainer, ImpossibleSettingsNameTheField) {
  const TrainingFolder folder;
  const auto expect = [&](std::vector<std::string> overrides, const char* text, ErrorCode code) {
    EXPECT_THAT(ErrorOf(folder.Read(std::move(overrides)), code), HasSubstr(text));
  };
  expect({"training.micro_batch_size=3"}, "training.micro_batch_size: 3",
         ErrorCode::kInvalidArgument);
  expect({"data.train=" + folder.Path("nothing")}, "nothing", ErrorCode::kNotFound);
  expect({"data.tokenizer=" + folder.Path("nothing.json")}, "nothing.json", ErrorCode::kNotFound);
  expect({"model.max_length=65536"}, "model.max_length", ErrorCode::kInvalidArgument);
  expect({"model.vocab_size=40"}, "ids from 0 to 39", ErrorCode::kCorrupt);
  if (!torch::cuda::is_available()) {
    expect({"training.device=cuda"}, "training.device: cuda", ErrorCode::kUnsupported);
  }
  WriteFileAtomically(folder.Path("file"), "");
  expect({"output=" + folder.Path("file")}, folder.Path("file").c_str(), ErrorCode::kNotFound);
}

TEST(Trainer, ADivergedRunEndsAndKeepsItsCheckpoint) {
  const TrainingFolder folder;
  TrainModel(folder.Read({"training.stop_steps=5"}));
  const TrainRecipe diverging =
      folder.Read({"training.learning_rate=10", "training.clip_norm=0", "training.epsilon=1e-30",
                   "training.weight_decay=100", "training.steps=400"});
  EXPECT_THAT(ErrorOf(diverging, ErrorCode::kInvalidArgument),
              AllOf(HasSubstr("not a number"), HasSubstr("the checkpoint of step ")));
  for (const char* name : {"run/latest/model.safetensors", "run/latest/optimizer.safetensors"}) {
    ExpectFiniteTensors(folder.Path(name));
  }
  TrainModel(folder.Read({"training.stop_steps=6"}));
}

TEST(Trainer, ARunThatDivergesAtOnceSpeaksOfNoCheckpoint) {
  const TrainingFolder folder;
  const TrainRecipe diverging =
      folder.Read({"training.learning_rate=10", "training.clip_norm=0", "training.epsilon=1e-30",
                   "training.weight_decay=100", "training.steps=400", "training.warmup_steps=0",
                   "checkpoint.interval=0", "validation.interval=0"});
  EXPECT_THAT(ErrorOf(diverging, ErrorCode::kInvalidArgument),
              AllOf(HasSubstr("not a number at step "), Not(HasSubstr("checkpoint"))));
}

}  // namespace
}  // namespace blockformer::train
