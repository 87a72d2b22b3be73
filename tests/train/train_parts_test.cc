// The parts of the trainer that need no model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

#include "base/error.h"
#include "tests/train/training_run.h"
#include "train/loop/batch_loader.h"
#include "train/loop/checkpoint.h"
#include "train/loop/checkpoint_store.h"
#include "train/loop/lr_schedule.h"
#include "train/loop/metrics_log.h"
#include "train/model/weights.h"
#include "train/processes/distributed.h"

namespace blockformer::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LearningRate, WarmsUpAndFallsAsACosine) {
  TrainingRecipe training;
  training.learning_rate = 2;
  training.warmup_steps = 4;
  training.steps = 14;
  EXPECT_DOUBLE_EQ(LearningRate(training, 0), 0.5);
  EXPECT_DOUBLE_EQ(LearningRate(training, 3), 2);
  EXPECT_DOUBLE_EQ(LearningRate(training, 4), 2);
  EXPECT_DOUBLE_EQ(LearningRate(training, 9), 1.1);      // half way: 0.1 + 0.9 / 2 of it
  EXPECT_NEAR(LearningRate(training, 13), 0.244, 1e-3);  // the last step
  EXPECT_NEAR(LearningRate(training, 14), 0.2, 1e-12);
  EXPECT_NEAR(LearningRate(training, 1000), 0.2, 1e-12);
  training.warmup_steps = 0;
  EXPECT_DOUBLE_EQ(LearningRate(training, 0), 2);
}

TEST(SampleOrder, EachEpochIsAPermutationOfItsOwn) {
  SampleOrder order(50, 1);
  const auto epoch = [&order](int64_t number) {
    std::vector<int64_t> samples;
    for (int64_t i = 0; i < 50; ++i) samples.push_back(order.At(50 * number + i));
    return samples;
  };
  const std::vector<int64_t> first = epoch(0);
  const std::vector<int64_t> second = epoch(1);
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), 50u);
  EXPECT_EQ(std::set(second.begin(), second.end()).size(), 50u);
  EXPECT_NE(first, second);
  EXPECT_EQ(epoch(0), first);
  EXPECT_NE(SampleOrder(50, 2).At(0) + 50 * SampleOrder(50, 2).At(1), first[0] + 50 * first[1]);
}

TEST(BatchLoader, ReadsTheSamplesAskedFor) {
  const TrainingFolder folder;
  const BatchLoader loader(folder.Path("train"), folder.Read().model, false);
  const TokenBatch both = loader.Read(std::vector<int64_t>{3, 1}, torch::kCPU);
  const TokenBatch one = loader.Read(std::vector<int64_t>{1}, torch::kCPU);
  EXPECT_EQ(both.ids.sizes().vec(), (std::vector<int64_t>{2, 32}));
  EXPECT_TRUE(torch::equal(both.ids[1], one.ids[0]));
  EXPECT_FALSE(torch::equal(both.ids[0], one.ids[0]));
  EXPECT_TRUE(torch::equal(both.labels.ne(kIgnoredLabel), both.mask.ne(0)));
}

void WriteMarker(const std::string& directory) {
  WriteFileAtomically(directory + "/config.json", "{}");
}

TEST(CheckpointStore, SavesPrunesAndLinks) {
  const TrainingFolder folder;
  CheckpointStore store(folder.Path("run/"));
  for (const int64_t step : {5, 10, 15, 20}) store.Save(step, WriteMarker);
  store.UpdateLinks(20, 5);
  store.Prune(2, 5);
  EXPECT_THAT(store.Steps(), ElementsAre(5, 15, 20));
  EXPECT_TRUE(FileExists(folder.Path("run/config.json")));
  EXPECT_EQ(std::filesystem::read_symlink(folder.Path("run/latest")), "checkpoints/step-00000020");
  EXPECT_EQ(std::filesystem::read_symlink(folder.Path("run/best")), "checkpoints/step-00000005");
}

TEST(CheckpointStore, AFailedSaveChangesNothing) {
  const TrainingFolder folder;
  CheckpointStore store(folder.Path("run"));
  store.Save(5, WriteMarker);
  EXPECT_THROW(store.Save(10,
                          [](const std::string& directory) {
                            WriteMarker(directory);
                            Fail(ErrorCode::kExhausted, "full");
                          }),
               Error);
  EXPECT_THAT(store.Steps(), ElementsAre(5));
  EXPECT_FALSE(FileExists(folder.Path("run/checkpoints/tmp-step-00000010")));
}

TEST(CheckpointStore, RemovesOnlyWhatWasLeftUnfinished) {
  const TrainingFolder folder;
  for (const char* name : {"tmp-step-00000007", "step-00000005", "step-5", "step-x", "mine"}) {
    MakeDirectories(folder.Path("run/checkpoints/") + name);
  }
  const CheckpointStore store(folder.Path("run"));
  EXPECT_THAT(store.Steps(), ElementsAre(5));
  EXPECT_FALSE(FileExists(folder.Path("run/checkpoints/tmp-step-00000007")));
  EXPECT_TRUE(FileExists(folder.Path("run/checkpoints/mine")));
}

TEST(CheckpointStore, LeavesFilesOfTheUserAlone) {
  const TrainingFolder folder;
  MakeDirectories(folder.Path("run"));
  WriteFileAtomically(folder.Path("run/config.json"), "mine");
  CheckpointStore store(folder.Path("run"));
  store.Save(5, WriteMarker);
  store.UpdateLinks(5, -1);
  EXPECT_EQ(ReadFile(folder.Path("run/config.json")), "mine");
}

TEST(CheckpointStore, HoldsItsDirectoryAlone) {
  const TrainingFolder folder;
  const CheckpointStore store(folder.Path("run"));
  EXPECT_THROW(CheckpointStore(folder.Path("run")), Error);
}

std::vector<std::string> NamesOf(const TokenizerFiles& files) {
  std::vector<std::string> names;
  for (const auto& [name, contents] : files) names.push_back(name);
  return names;
}

TEST(TokenizerFiles, AreThoseThatAreLoaded) {
  const TrainingFolder folder;
  for (const char* name :
       {"mine.json", "vocab.json", "merges.txt", "encoder.json", "vocab.bpe", "other.txt"}) {
    WriteFileAtomically(folder.Path(name), name);
  }
  const auto names = [&folder](const std::string& name) {
    return NamesOf(ReadTokenizerFiles(folder.Path(name)));
  };
  EXPECT_THAT(names("vocab.json"), ElementsAre("vocab.json", "merges.txt"));
  EXPECT_THAT(names("merges.txt"), ElementsAre("vocab.json", "merges.txt"));
  EXPECT_THAT(names("vocab.bpe"), ElementsAre("encoder.json", "vocab.bpe"));
  EXPECT_THAT(names("mine.json"), ElementsAre("tokenizer.json"));
  EXPECT_THAT(names("other.txt"), ElementsAre("tokenizer.json"));
  EXPECT_THAT(names(""), ElementsAre("vocab.json", "merges.txt"));  // the directory
  WriteFileAtomically(folder.Path("tokenizer.json"), "");
  EXPECT_THAT(names(""), ElementsAre("tokenizer.json"));
}

TEST(TokenizerFiles, HaveTheirCompanionsWithThem) {
  const TrainingFolder folder;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
    WriteFileAtomically(folder.Path(name), name);
  }
  EXPECT_THAT(NamesOf(ReadTokenizerFiles(folder.Path("tokenizer.json"))),
              ElementsAre("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"));
  CheckpointStore store(folder.Path("run"));
  store.Save(5, [&folder](const std::string& directory) {
    for (const auto& [name, contents] : ReadTokenizerFiles(folder.Path(""))) {
      WriteFileAtomically(directory + "/" + name, contents);
    }
  });
  store.UpdateLinks(5, -1);
  EXPECT_EQ(ReadFile(folder.Path("run/tokenizer_config.json")), "tokenizer_config.json");
  EXPECT_EQ(ReadFile(folder.Path("run/chat_template.jinja")), "chat_template.jinja");
}

TEST(CheckpointStore, LinksGpt2TokenizerFiles) {
  const TrainingFolder folder;
  CheckpointStore store(folder.Path("run"));
  store.Save(5, [](const std::string& directory) {
    WriteFileAtomically(directory + "/vocab.json", "{}");
    WriteFileAtomically(directory + "/merges.txt", "");
  });
  store.UpdateLinks(5, -1);
  EXPECT_TRUE(FileExists(folder.Path("run/vocab.json")));
  EXPECT_TRUE(FileExists(folder.Path("run/merges.txt")));
  EXPECT_FALSE(std::filesystem::is_symlink(folder.Path("run/tokenizer.json")));
}

// The state of libtorch's generator in checkpoints of earlier versions.
TEST(Tensors, OneThatIsIgnoredMayBeThereOrNot) {
  const TrainingFolder folder;
  const torch::Tensor weights = torch::arange(3, torch::kFloat32);
  const NamedTensors with_state = {{"weights", weights},
                                   {"state", torch::zeros({2}, torch::kInt64)}};
  WriteTensors(folder.Path("old"), with_state);
  WriteTensors(folder.Path("new"), {{"weights", weights}});
  for (const char* name : {"old", "new"}) {
    const torch::Tensor read = torch::zeros(3);
    ReadTensors(folder.Path(name), {{"weights", read}}, "state");
    EXPECT_TRUE(torch::equal(read, weights));
  }
  EXPECT_THROW(ReadTensors(folder.Path("old"), {{"weights", torch::zeros(3)}}), Error);
}

TEST(MetricsLog, DropsWhatFollowsTheLastStep) {
  const TrainingFolder folder;
  const std::string path = folder.Path("metrics.jsonl");
  WriteFileAtomically(path, "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"st");
  MetricsLog(path, 2).Append({{"step", 3}, {"loss", 1.5}});
  EXPECT_EQ(ReadFile(path), "{\"step\":1}\n{\"step\":2}\n{\"step\":3,\"loss\":1.5}\n");
}

TEST(MetricsLog, BeginsAnewWhereARunEndedBeforeItsFirstCheckpoint) {
  const TrainingFolder folder;
  const std::string path = folder.Path("metrics.jsonl");
  WriteFileAtomically(path,
                      "{\"step\":1,\"tokens\":2,\"loss\":3,\"learning_rate\":4,\"grad_norm\":5}\n"
                      "{\"step\":2,\"tok");
  MetricsLog(path, 0).Append({{"step", 1}, {"sample", "\xc3"}});
  EXPECT_EQ(ReadFile(path), "{\"step\":1,\"sample\":\"\xef\xbf\xbd\"}\n");
}

TEST(MetricsLog, LeavesFilesOfOtherProgramsAlone) {
  const TrainingFolder folder;
  const std::string path = folder.Path("metrics.jsonl");
  for (const std::string text : {"{\"step\":1,\"loss\":3}\n", "[1]", "\n", "step loss\n1 3\n"}) {
    WriteFileAtomically(path, text);
    EXPECT_THROW(MetricsLog(path, 0), Error);
    EXPECT_EQ(ReadFile(path), text);
  }
}

// What does not fit in memory at once need not: only its end is looked at.
TEST(MetricsLog, ContinuesAFileOfManyGigabytes) {
  const TrainingFolder folder;
  const std::string path = folder.Path("metrics.jsonl");
  WriteFileAtomically(path, "");
  constexpr uint64_t kHole = uint64_t{5} << 30;
  std::error_code error;
  std::filesystem::resize_file(path, kHole, error);
  if (error) GTEST_SKIP() << "no sparse file of 5 GiB here: " << error.message();
  std::ofstream(path, std::ios::app) << "\n{\"step\":7}\n{\"step\":8}\n";
  MetricsLog(path, 7).Append({{"step", 8}, {"loss", 1.5}});
  std::ifstream file(path, std::ios::binary);
  file.seekg(kHole);
  const std::string end(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(end, "\n{\"step\":7}\n{\"step\":8,\"loss\":1.5}\n");
}

TEST(CheckpointStore, ALinkToABestThatIsGoneGoes) {
  const TrainingFolder folder;
  CheckpointStore store(folder.Path("run"));
  for (const int64_t step : {5, 10}) store.Save(step, WriteMarker);
  store.UpdateLinks(10, 10);
  store.UpdateLinks(5, -1);
  EXPECT_TRUE(FileExists(folder.Path("run/best")));  // as it was
  store.SetAside(10);
  store.UpdateLinks(5, -1);
  EXPECT_FALSE(std::filesystem::is_symlink(folder.Path("run/best")));
  EXPECT_EQ(std::filesystem::read_symlink(folder.Path("run/latest")), "checkpoints/step-00000005");
}

TEST(CheckpointStore, TellsItsLinksFromOthersFiles) {
  const TrainingFolder folder;
  const std::string run = folder.Path("run");
  const TokenizerFiles tokenizer = {{"tokenizer.json", "mine"}};
  RequireLinksOnly(run, tokenizer);
  {
    CheckpointStore store(run);
    store.Save(5, WriteMarker);
    store.UpdateLinks(5, 5);
  }
  RequireLinksOnly(run, tokenizer);
  WriteFileAtomically(run + "/tokenizer.json", "mine");
  WriteFileAtomically(run + "/README.md", "mine");
  RequireLinksOnly(run, tokenizer);
  WriteFileAtomically(run + "/tokenizer.json", "another");
  EXPECT_THROW(RequireLinksOnly(run, tokenizer), Error);
  RequireLinksOnly(run, {});
  std::filesystem::create_symlink("/nowhere/model.safetensors", run + "/model.safetensors");
  EXPECT_THROW(RequireLinksOnly(run, {}), Error);
}

class RankEnvironment : public testing::Test {
 protected:
  void TearDown() override {
    for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT",
                             "BLOCKFORMER_PEER_TIMEOUT", "BLOCKFORMER_LOCAL_STORE"}) {
      unsetenv(name);
    }
  }

  static std::string ErrorOf() {
    try {
      ReadRankFromEnvironment();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
};

TEST_F(RankEnvironment, IsOneProcessByDefault) {
  EXPECT_FALSE(HasRankInEnvironment());
  EXPECT_EQ(ReadRankFromEnvironment().world_size, 1);
}

TEST_F(RankEnvironment, NamesTheVariableThatIsWrong) {
  setenv("RANK", "1", 1);
  EXPECT_THAT(ErrorOf(), HasSubstr("WORLD_SIZE"));
  setenv("WORLD_SIZE", "1", 1);
  EXPECT_THAT(ErrorOf(), HasSubstr("RANK=\"1\""));
  setenv("WORLD_SIZE", "2", 1);
  EXPECT_THAT(ErrorOf(), HasSubstr("MASTER_PORT"));
  setenv("MASTER_PORT", "70000", 1);
  EXPECT_THAT(ErrorOf(), HasSubstr("MASTER_PORT=\"70000\""));
  setenv("MASTER_PORT", "29500", 1);
  EXPECT_THAT(ErrorOf(), HasSubstr("MASTER_ADDR"));
  setenv("MASTER_ADDR", "localhost", 1);
  EXPECT_EQ(ReadRankFromEnvironment().rank, 1);
  EXPECT_EQ(ReadRankFromEnvironment().master_port, 29500);
  setenv("BLOCKFORMER_PEER_TIMEOUT", "soon", 1);
  EXPECT_THAT(ErrorOf(), HasSubstr("BLOCKFORMER_PEER_TIMEOUT=\"soon\""));
  setenv("BLOCKFORMER_PEER_TIMEOUT", "7", 1);
  EXPECT_EQ(ReadRankFromEnvironment().peer_timeout, std::chrono::seconds(7));
}

TEST_F(RankEnvironment, NeedsNoAddressFromTheLocalLauncher) {
  setenv("RANK", "1", 1);
  setenv("WORLD_SIZE", "2", 1);
  setenv("BLOCKFORMER_LOCAL_STORE", "/tmp/store", 1);
  EXPECT_EQ(ReadRankFromEnvironment().store_path, "/tmp/store");
}

}  // namespace
}  // namespace blockformer::train
