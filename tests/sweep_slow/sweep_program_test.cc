// A sweep with both programs as a user starts it: trained, stopped, continued, measured, reported.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <csignal>
#include <sstream>

#include "base/child_process.h"
#include "base/random.h"
#include "config/json.h"
#include "data/token_file.h"
#include "tests/sweep/sweep_folder.h"

namespace blockformer {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kFields[] =
    "axes: {block_length: [2, 4], token_decoder: [prefix, cross_attention]}\n"
    "runs:\n"
    "  - name: vanilla\n"
    "    set: {model: {type: vanilla, vocab_size: 64, max_length: 32,\n"
    "                  decoder: {hidden_size: 64, num_hidden_layers: 2}}}\n"
    "  - {name: broken, set: {data.tokenizer: /nowhere/tokenizer.json}}\n"
    "throughput: {batch: 2, prompt: 4, generate: 8, repetitions: 2}\n";

std::vector<pid_t> DescendantsOf(pid_t process) {
  std::vector<pid_t> all;
  std::istringstream text(ReadFile(fmt::format("/proc/{0}/task/{0}/children", process)));
  for (pid_t child = 0; text >> child;) {
    all.push_back(child);
    for (const pid_t grandchild : DescendantsOf(child)) all.push_back(grandchild);
  }
  return all;
}

class SweepProgramTest : public testing::Test {
 protected:
  SweepProgramTest() {
    WriteTokens("tokens", 40, 1);
    WriteTokens("validation", 4, 2);
    folder_.Read(kFields);  // writes sweep.yaml
  }

  void WriteTokens(const std::string& name, int documents, uint64_t seed) const {
    TokenFileWriter writer(folder_.Path(name), 64);
    Random random(seed);
    for (int i = 0; i < documents; ++i) {
      std::vector<int32_t> tokens(100);
      for (int32_t& token : tokens) token = static_cast<int32_t>(1 + random.Below(63));
      writer.Add(tokens);
    }
    writer.Commit();
  }

  std::vector<std::string> Command(const std::string& output) const {
    return {BLOCKFORMER_PROGRAM,
            "train",
            "--sweep",
            folder_.Path("sweep.yaml"),
            "output=" + folder_.Path(output),
            "training.steps=null",
            "training.flops=2e10",
            "training.threads=1",
            "data.validation=" + folder_.Path("validation"),
            "validation.interval=5",
            "checkpoint.interval=5"};
  }

  Json Report(const std::string& output) const {
    return ReadJsonFile(folder_.Path(output) + "/report.json");
  }

  SweepFolder folder_;
};

TEST_F(SweepProgramTest, TrainsMeasuresAndReports) {
  // The broken run fails the sweep, and only that.
  EXPECT_EQ(RunProcess(Command("out"), folder_.Path("log")), 1);
  EXPECT_THAT(ReadFile(folder_.Path("log")), HasSubstr("1 of 5 runs failed: broken"));
  const Json report = Report("out");
  ASSERT_EQ(report["runs"].size(), 5u);
  for (const Json& run : report["runs"]) {
    if (run["run"] == "broken") {
      EXPECT_EQ(run["status"], "failed");
      continue;
    }
    SCOPED_TRACE(run["run"]);
    EXPECT_EQ(run["status"], "finished");
    EXPECT_NEAR(run["training_flops"].get<double>() / 2e10, 1, 0.1);
    EXPECT_NEAR(run["validation_loss"].get<double>(), std::log(63), 0.5);  // of random tokens
    EXPECT_GT(run["curve"].size(), 1u);
    ASSERT_EQ(run["tokens_per_s_by_round"].size(), 2u);
    for (const Json& speed : run["tokens_per_s_by_round"]) EXPECT_GT(speed.get<double>(), 0);
  }
  EXPECT_EQ(report["throughput"]["machines"].size(), 1u);
  EXPECT_THAT(ReadFile(folder_.Path("out/report.md")), HasSubstr("| vanilla | vanilla |"));
  EXPECT_TRUE(FileExists(folder_.Path("out/loss_by_throughput.gp")));
}

TEST_F(SweepProgramTest, GoesOnAsIfItHadNotBeenStopped) {
  EXPECT_EQ(RunProcess(Command("whole"), folder_.Path("log")), 1);
  {
    ChildProcess sweep(Command("stopped"), folder_.Path("stopped.log"));
    while (!FileExists(folder_.Path("stopped/runs/base/latest/state.json"))) {
      ASSERT_FALSE(sweep.WaitFor(20)) << ReadFile(folder_.Path("stopped.log"));
    }
    sweep.Stop();
    ASSERT_TRUE(sweep.WaitFor(60000));
    EXPECT_EQ(sweep.exit_code(), 130);
  }
  EXPECT_THAT(ReadFile(folder_.Path("stopped.log")), HasSubstr("the same command continues it"));
  EXPECT_FALSE(FileExists(folder_.Path("stopped/runs/vanilla/latest/state.json")));
  EXPECT_EQ(RunProcess(Command("stopped"), folder_.Path("log")), 1);
  const Json whole = Report("whole"), stopped = Report("stopped");
  for (size_t i = 0; i < whole["runs"].size(); ++i) {
    EXPECT_EQ(whole["runs"][i]["curve"], stopped["runs"][i]["curve"]) << whole["runs"][i]["run"];
  }
}

// As systemd stops a control group, and Slurm a step.
TEST_F(SweepProgramTest, ASignalToAllProcessesAtOnceSaves) {
  std::vector<std::string> command = Command("stopped");
  command.insert(command.end(), {"--nproc", "2", "training.flops=2e13", "checkpoint.interval=0",
                                 "validation.interval=0"});
  ChildProcess sweep(command, folder_.Path("log"));
  std::vector<pid_t> processes;
  while (processes.size() < 3 || !FileExists(folder_.Path("stopped/runs/base/metrics.jsonl"))) {
    ASSERT_FALSE(sweep.WaitFor(20)) << ReadFile(folder_.Path("log"));
    processes = DescendantsOf(sweep.pid());
  }
  processes.push_back(sweep.pid());
  for (const pid_t process : processes) kill(process, SIGTERM);
  ASSERT_TRUE(sweep.WaitFor(60000));
  EXPECT_EQ(sweep.exit_code(), 130) << ReadFile(folder_.Path("log"));
  EXPECT_TRUE(FileExists(folder_.Path("stopped/runs/base/latest/state.json")))
      << ReadFile(folder_.Path("stopped/logs/base.log"));
}

TEST_F(SweepProgramTest, AFinishedSweepStartsNothing) {
  RunProcess(Command("out"), folder_.Path("first.log"));
  RunProcess(Command("out"), folder_.Path("second.log"));
  const std::string log = ReadFile(folder_.Path("second.log"));
  EXPECT_THAT(log, HasSubstr("run 1 of 5, base: was finished"));
  EXPECT_THAT(log, Not(HasSubstr("validation loss")));
}

}  // namespace
}  // namespace blockformer
