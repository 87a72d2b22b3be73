// Long runs: kills at random moments, and bf16 against f32.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"
#include "tests/train/training_run.h"
#include "train/loop/checkpoint_store.h"
#include "train/loop/trainer.h"
#include "train/processes/distributed.h"
#include "train/processes/launcher.h"

namespace blockformer::train {
namespace {

constexpr int kKills = 100;

std::filesystem::path NewestCheckpoint(const std::string& run) {
  std::error_code ignored;
  return std::filesystem::read_symlink(run + "/latest", ignored);
}

int64_t LastStep(const std::string& run) {
  const std::vector<int64_t> steps = CheckpointStore(run).Steps();
  return steps.empty() ? 0 : steps.back();
}

// Every step saves a checkpoint, so that most kills hit one that is being written or pruned.
TEST(TrainSlow, KillsAtRandomMomentsCostNothing) {
  const TrainingFolder folder;
  const std::string run = folder.Path("run");
  const std::vector<std::string> settings = {"training.steps=100000", "validation.interval=0"};
  std::vector<std::string> arguments = {folder.recipe_path(), "checkpoint.interval=1"};
  arguments.insert(arguments.end(), settings.begin(), settings.end());
  Random random(1);
  for (int i = 0; i < kKills; ++i) {
    const auto before = NewestCheckpoint(run);
    TrainerProcess process(arguments, folder.Path("errors"));
    ASSERT_TRUE(WaitUntil([&] { return NewestCheckpoint(run) != before || !process.IsRunning(); }));
    usleep(static_cast<useconds_t>(random.Below(60000)));
    ASSERT_TRUE(process.IsRunning()) << "run " << i << ": " << process.Errors();
    process.Signal(SIGKILL);
    ASSERT_EQ(process.Wait(), 128 + SIGKILL);
  }
  const std::string stop = fmt::format("training.stop_steps={}", LastStep(run) + 3);
  GTEST_LOG_(INFO) << "after " << kKills << " kills: " << stop;
  arguments.push_back(stop);
  ASSERT_EQ(TrainerProcess(arguments, folder.Path("errors")).Wait(), 0);
  ASSERT_EQ(TrainerProcess({folder.recipe_path(), settings[0], settings[1], stop,
                            "checkpoint.interval=0", "output=" + folder.Path("whole")},
                           folder.Path("errors"))
                .Wait(),
            0);
  ExpectSameTensors(folder.Path("whole"), run);
  EXPECT_EQ(ReadMetrics(folder.Path("whole")), ReadMetrics(run));
  for (const auto& entry : std::filesystem::directory_iterator(run + "/checkpoints")) {
    EXPECT_FALSE(entry.path().filename().string().starts_with("unreadable-")) << entry.path();
  }
}

TEST(TrainSlow, Bfloat16StaysWithinOnePercent) {
  const TrainingFolder folder;
  const auto final_loss = [&](const std::string& dtype) {
    const std::string output = folder.Path(dtype);
    Train(folder.Read({"training.dtype=" + dtype, "output=" + output, "training.steps=200",
                       "validation.interval=0", "checkpoint.interval=0"}),
          {}, ProcessRank());
    return ReadMetrics(output).back()["validation_loss"].get<double>();
  };
  const double f32 = final_loss("f32");
  EXPECT_NEAR(final_loss("bf16") / f32, 1, 0.01);
  EXPECT_LT(f32, 2);  // it has learnt something to lose
}

constexpr int kPeerTimeoutSeconds = 4;

// Not tests but processes that a test below starts: two that add up numbers, of which the second
// comes late, or stops.
TEST(GroupProcess, DISABLED_ComesLate) {
  if (!HasRankInEnvironment()) GTEST_SKIP() << "is started by a test";
  ProcessGroup group(ReadRankFromEnvironment(), torch::kCPU, Json::object());
  if (!group.IsMain()) sleep(3 * kPeerTimeoutSeconds);
  const torch::Tensor sum = torch::ones({3});
  group.Sum({sum});
  _exit(sum[0].item<float>() == 2 ? 0 : 9);
}

TEST(GroupProcess, DISABLED_Stops) {
  if (!HasRankInEnvironment()) GTEST_SKIP() << "is started by a test";
  ProcessGroup group(ReadRankFromEnvironment(), torch::kCPU, Json::object());
  if (!group.IsMain()) raise(SIGSTOP);
  try {
    group.Sum({torch::ones({3})});
  } catch (const Error& error) {
    const bool is_named =
        std::string(error.what()).find("process 1 has shown no sign of life") != std::string::npos;
    _exit(is_named ? 7 : 8);
  }
  _exit(9);
}

int RunGroup(const std::string& test) {
  setenv("BLOCKFORMER_PEER_TIMEOUT", std::to_string(kPeerTimeoutSeconds).c_str(), 1);
  const int code =
      RunLocalProcesses(2, {"train_slow_test", "--gtest_also_run_disabled_tests", "--gtest_brief=1",
                            "--gtest_filter=GroupProcess.DISABLED_" + test});
  unsetenv("BLOCKFORMER_PEER_TIMEOUT");
  return code;
}

TEST(TrainSlow, AProcessThatWorksLongIsWaitedFor) { EXPECT_EQ(RunGroup("ComesLate"), 0); }

TEST(TrainSlow, AProcessThatIsStoppedIsNot) { EXPECT_EQ(RunGroup("Stops"), 7); }

}  // namespace
}  // namespace blockformer::train
