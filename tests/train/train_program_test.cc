// blockformer-train as a process: signals, several processes, a full disk.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <iterator>
#include <sstream>

#include "tests/train/training_run.h"

namespace blockformer {
namespace {

using ::testing::HasSubstr;

constexpr int kInterrupted = 130;

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::istringstream text(ReadFile(fmt::format("/proc/{0}/task/{0}/children", parent)));
  return {std::istream_iterator<pid_t>(text), {}};
}

int StartAndWait(
    const TrainingFolder& folder, std::vector<std::string> arguments,
    const std::function<void()>& prepare = [] {}) {
  arguments.insert(arguments.begin(), folder.recipe_path());
  TrainerProcess process(std::move(arguments), folder.Path("errors"), prepare);
  const int code = process.Wait();
  if (code != 0) GTEST_LOG_(INFO) << process.Errors();
  return code;
}

void ExpectNearLosses(const std::string& run, const std::string& other) {
  const std::vector<Json> a = ReadMetrics(run);
  const std::vector<Json> b = ReadMetrics(other);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    for (const char* field : {"loss", "validation_loss", "grad_norm"}) {
      ASSERT_EQ(a[i].contains(field), b[i].contains(field));
      if (!a[i].contains(field)) continue;
      EXPECT_NEAR(a[i][field].get<double>(), b[i][field].get<double>(), 1e-5) << field << " " << i;
    }
  }
}

TEST(TrainProgram, TwoProcessesGiveTheLossesOfOne) {
  const TrainingFolder folder;
  ASSERT_EQ(StartAndWait(folder, {"output=" + folder.Path("one")}), 0);
  ASSERT_EQ(StartAndWait(folder, {"--nproc", "2"}), 0);
  ExpectNearLosses(folder.Path("one"), folder.Path("run"));
}

TEST(TrainProgram, TwoProcessesGiveTheLossesOfOneWithEncoderAndT5) {
  const TrainingFolder folder;
  const auto train = [&](std::vector<std::string> arguments) {
    const std::vector<std::string> model = TrainingFolder::EncoderAndT5(0);
    arguments.insert(arguments.end(), model.begin(), model.end());
    return StartAndWait(folder, arguments);
  };
  ASSERT_EQ(train({"output=" + folder.Path("one")}), 0);
  ASSERT_EQ(train({"--nproc", "2"}), 0);
  ExpectNearLosses(folder.Path("one"), folder.Path("run"));
}

TEST(TrainProgram, TwoProcessesResumeBitForBit) {
  const TrainingFolder folder;
  ASSERT_EQ(StartAndWait(folder, {"--nproc", "2", "output=" + folder.Path("whole")}), 0);
  ASSERT_EQ(StartAndWait(folder, {"--nproc", "2", "training.stop_steps=10"}), 0);
  ASSERT_EQ(StartAndWait(folder, {"--nproc", "2"}), 0);
  ExpectSameTensors(folder.Path("whole"), folder.Path("run"));
  EXPECT_EQ(ReadMetrics(folder.Path("whole")), ReadMetrics(folder.Path("run")));
}

TEST(TrainProgram, ALostProcessEndsTheOthers) {
  const TrainingFolder folder;
  TrainerProcess process(
      {folder.recipe_path(), "--nproc", "2", "training.steps=1000000", "checkpoint.interval=0"},
      folder.Path("errors"));
  ASSERT_TRUE(WaitUntil([&] {
    return FileExists(folder.Path("run/metrics.jsonl")) && !ReadMetrics(folder.Path("run")).empty();
  }));
  const std::vector<pid_t> children = ChildrenOf(process.pid());
  ASSERT_EQ(children.size(), 2u);
  kill(children[1], SIGKILL);
  EXPECT_TRUE(WaitUntil([&] { return !process.IsRunning(); }));
  EXPECT_EQ(process.Wait(), 128 + SIGKILL);
  EXPECT_THAT(process.Errors(), HasSubstr("training process 1 was ended by signal 9"));
  EXPECT_THAT(process.Errors(), HasSubstr("training process 0 of 2 cannot go on"));
}

TEST(TrainProgram, AStopSignalSavesAndTheRunContinues) {
  for (const char* processes : {"1", "2"}) {
    const TrainingFolder folder;
    const std::vector<std::string> arguments = {
        folder.recipe_path(),   "--nproc", processes, "training.steps=200", "validation.interval=0",
        "checkpoint.interval=0"};
    TrainerProcess process(arguments, folder.Path("errors"));
    ASSERT_TRUE(WaitUntil([&] {
      return FileExists(folder.Path("run/metrics.jsonl")) &&
             !ReadMetrics(folder.Path("run")).empty();
    }));
    process.Signal(processes == std::string("1") ? SIGINT : SIGTERM);
    EXPECT_EQ(process.Wait(), kInterrupted) << process.Errors();
    const std::string errors = process.Errors();
    const size_t saved = errors.find("is saved; the same command continues");
    EXPECT_NE(saved, std::string::npos) << errors;
    EXPECT_EQ(errors.find("is saved", saved + 1), std::string::npos) << errors;  // said once
    const auto last_step = ReadMetrics(folder.Path("run")).back()["step"].get<int64_t>();
    EXPECT_LT(last_step, 200);
    EXPECT_TRUE(
        FileExists(folder.Path(fmt::format("run/checkpoints/step-{:08}/state.json", last_step))));
  }
}

TEST(TrainProgram, AFullDiskKeepsTheCheckpointBefore) {
  const TrainingFolder folder;
  ASSERT_EQ(StartAndWait(folder, {"training.stop_steps=5"}), 0);
  TrainerProcess full({folder.recipe_path()}, folder.Path("errors"), [] {
    signal(SIGXFSZ, SIG_IGN);  // write() fails instead
    const rlimit limit = {100000, 100000};
    setrlimit(RLIMIT_FSIZE, &limit);
  });
  EXPECT_EQ(full.Wait(), 1);
  EXPECT_THAT(full.Errors(), HasSubstr("safetensors"));
  EXPECT_TRUE(FileExists(folder.Path("run/checkpoints/step-00000005")));
  EXPECT_FALSE(FileExists(folder.Path("run/checkpoints/step-00000010")));
  ASSERT_EQ(StartAndWait(folder, {"output=" + folder.Path("whole")}), 0);
  ASSERT_EQ(StartAndWait(folder, {}), 0);
  ExpectSameTensors(folder.Path("whole"), folder.Path("run"));
}

TEST(TrainProgram, WrongArgumentsHaveExitCode2) {
  const TrainingFolder folder;
  EXPECT_EQ(StartAndWait(folder, {"training.step=5"}), 2);
  EXPECT_EQ(StartAndWait(folder, {"--nproc", "0"}), 2);
  EXPECT_EQ(StartAndWait(folder, {"--nproc", "3"}), 2);  // 8 sequences do not divide by 3
  EXPECT_EQ(StartAndWait(folder, {"--nonsense"}), 2);
}

}  // namespace
}  // namespace blockformer
