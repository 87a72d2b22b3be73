// The runner with shell scripts in place of the programs that it starts.
#include "sweep/sweep_runner.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "base/child_process.h"
#include "base/error.h"
#include "sweep/run_record.h"
#include "sweep/sweep_report.h"
#include "tests/sweep/sweep_folder.h"

namespace blockformer {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Notes its call, and leaves what a trainer leaves: the recipe's own text goes into the state.
constexpr char kTrainer[] = R"sh(
recipe=$2
output=$(sed -n 's/^  "output": "\(.*\)",$/\1/p' "$recipe")
steps=$(sed -n 's/^    "steps": \([0-9]*\),*$/\1/p' "$recipe")
basename "$output" >>"$0.calls"
case $output in *bad*) echo "cannot do this" >&2; exit 3 ;; esac
mkdir -p "$output/latest"
printf '{"step": %s, "validation_loss": 5.5, "validation_bits_per_byte": 2.0, "validation_loss_by_position": [6, null]}\n' "$steps" >"$output/metrics.jsonl"
{ printf '{"step": %s, "recipe": ' "$steps"; cat "$recipe"; echo '}'; } >"$output/latest/state.json"
)sh";

constexpr char kEngine[] = R"(
echo "$3" >>"$0.calls"
case $3 in *broken*) echo "no such model" >&2; exit 1 ;; esac
while [ $# -gt 1 ]; do
  if [ "$1" = --json ]; then json=$2; fi
  shift
done
echo '{"machine": {"processor": "x86", "threads": 2},
       "results": [{"batch": 4, "prompt": 8, "generate": 16, "total_tokens_per_s": 123}]}' >"$json"
)";

constexpr char kRuns[] =
    "runs: [{name: one}, {name: bad, set: {training.steps: 7}},\n"
    "       {name: two, set: {training.steps: 9}}]\n"
    "throughput: {batch: 4, prompt: 8, generate: 16, repetitions: 2}\n";

class SweepRunnerTest : public testing::Test {
 protected:
  std::vector<std::string> Calls(const std::string& program) const {
    std::vector<std::string> lines;
    const std::string path = folder_.Path(program) + ".calls";
    if (!FileExists(path)) return lines;
    std::istringstream text(ReadFile(path));
    for (std::string line; std::getline(text, line);) {
      lines.push_back(std::filesystem::path(line).filename());
    }
    return lines;
  }

  SweepFolder folder_;
  SweepPrograms programs_ = {folder_.WriteProgram("trainer", kTrainer),
                             folder_.WriteProgram("engine", kEngine)};
};

TEST_F(SweepRunnerTest, AFailedRunIsReportedAndTheOthersGoOn) {
  const Sweep sweep = folder_.Read(kRuns);
  EXPECT_THAT(RunSweep(sweep, programs_), ElementsAre("bad"));
  EXPECT_THAT(Calls("trainer"), ElementsAre("one", "bad", "two"));
  EXPECT_THAT(Calls("engine"), ElementsAre("one", "two", "one", "two"));  // in turn
  EXPECT_THAT(ReadFile(folder_.Path("out/logs/bad.log")), HasSubstr("cannot do this"));
  const RunRecord record = ReadRunRecord(sweep, sweep.runs[2]);
  EXPECT_TRUE(record.finished);
  EXPECT_EQ(record.steps_done, 9);
  ASSERT_EQ(record.speeds.size(), 2u);
  EXPECT_EQ(record.speeds[1]->tokens_per_second, 123);
  EXPECT_EQ(record.speeds[1]->machine, "x86, 2 threads");
}

TEST_F(SweepRunnerTest, TheReportSaysWhatFailedAndHow) {
  const Sweep sweep = folder_.Read(kRuns);
  RunSweep(sweep, programs_);
  const SweepReport report = MakeReport(sweep);
  EXPECT_EQ(report.rows[0].status, RunStatus::kFinished);
  EXPECT_EQ(report.rows[1].status, RunStatus::kFailed);
  const char* message = "training ended with exit code 3: cannot do this";
  EXPECT_THAT(ReportAsMarkdown(sweep, report),
              AllOf(HasSubstr("| bad (failed) |"), HasSubstr(message)));
  EXPECT_THAT(ReportAsCsv(report), HasSubstr("bad,bad,failed"));
  EXPECT_EQ(ReportAsJson(sweep, report)["runs"][1]["failure"], message);
  // Until it is trained after all.
  programs_.trainer = folder_.WriteProgram(
      "trainer", std::string(kTrainer).replace(std::string(kTrainer).find("*bad*"), 5, "*good*"));
  EXPECT_TRUE(RunSweep(sweep, programs_).empty());
  EXPECT_EQ(MakeReport(sweep).rows[1].status, RunStatus::kFinished);
  EXPECT_TRUE(ReadRunRecord(sweep, sweep.runs[1]).failure.empty());
}

TEST_F(SweepRunnerTest, WhatIsFinishedIsNotRepeated) {
  RunSweep(folder_.Read(kRuns), programs_);
  RunSweep(folder_.Read(kRuns), programs_);
  EXPECT_THAT(Calls("trainer"), ElementsAre("one", "bad", "two", "bad"));
  EXPECT_THAT(Calls("engine"), ElementsAre("one", "two", "one", "two"));
}

TEST_F(SweepRunnerTest, ARoundThatIsMissingIsMeasured) {
  const Sweep sweep = folder_.Read(kRuns);
  RunSweep(sweep, programs_);
  std::filesystem::remove(ThroughputPath(sweep, sweep.runs[2], 1));
  RunSweep(sweep, programs_);
  EXPECT_THAT(Calls("engine"), ElementsAre("one", "two", "one", "two", "two"));
}

TEST_F(SweepRunnerTest, AModelThatCannotBeMeasuredIsLeftOutOfTheOtherRounds) {
  const Sweep sweep = folder_.Read(
      "runs: [{name: one}, {name: broken, set: {training.steps: 7}},\n"
      "       {name: two, set: {training.steps: 9}}]\n"
      "throughput: {batch: 4, prompt: 8, generate: 16, repetitions: 2}\n");
  EXPECT_THAT(RunSweep(sweep, programs_), ElementsAre("broken"));
  EXPECT_THAT(Calls("engine"), ElementsAre("one", "broken", "two", "one", "two"));
}

TEST_F(SweepRunnerTest, AnInterruptedRunGoesToTheTrainerAgain) {
  const Sweep sweep = folder_.Read(kRuns);
  RunSweep(sweep, programs_);
  Json state = ReadJsonFile(folder_.Path("out/runs/one/latest/state.json"));
  state["step"] = 4;
  WriteFileAtomically(folder_.Path("out/runs/one/latest/state.json"), state.dump());
  EXPECT_FALSE(ReadRunRecord(sweep, sweep.runs[0]).finished);
  RunSweep(sweep, programs_);
  EXPECT_THAT(Calls("trainer"), ElementsAre("one", "bad", "two", "one", "bad"));
}

TEST_F(SweepRunnerTest, ARunOfAnotherRecipeIsNotTakenForThisOne) {
  RunSweep(folder_.Read(kRuns), programs_);
  const Sweep sweep = folder_.Read(kRuns, {"training.learning_rate=3e-3"});
  EXPECT_EQ(ReadRunRecord(sweep, sweep.runs[0]).changed_field, "training.learning_rate");
  EXPECT_THAT(RunSweep(sweep, programs_), ElementsAre("one", "bad", "two"));
  EXPECT_THAT(Calls("trainer"), ElementsAre("one", "bad", "two", "bad"));
}

TEST_F(SweepRunnerTest, ARunOfMoreStepsIsNotTakenForOneOfFewer) {
  RunSweep(folder_.Read(kRuns), programs_);
  const Sweep sweep = folder_.Read(kRuns, {"training.stop_steps=5"});
  EXPECT_EQ(ReadRunRecord(sweep, sweep.runs[0]).changed_field, "training.stop_steps");
  EXPECT_THAT(RunSweep(sweep, programs_), ElementsAre("one", "bad", "two"));
  EXPECT_THAT(Calls("trainer"), ElementsAre("one", "bad", "two", "bad"));
}

TEST_F(SweepRunnerTest, WhatDoesNotChangeTheResultMayChange) {
  RunSweep(folder_.Read(kRuns), programs_);
  RunSweep(folder_.Read(kRuns, {"training.threads=1", "checkpoint.interval=7"}), programs_);
  const Sweep written_out = folder_.Read(kRuns, {"training.dtype=f32", "data.packing=corrected"});
  EXPECT_THAT(RunSweep(written_out, programs_), ElementsAre("bad"));
  EXPECT_THAT(Calls("trainer"), ElementsAre("one", "bad", "two", "bad", "bad"));
}

TEST_F(SweepRunnerTest, OtherSettingsOfThroughputAreMeasuredAnew) {
  RunSweep(folder_.Read("runs: [{name: one}]\n"
                        "throughput: {batch: 4, prompt: 8, generate: 16, repetitions: 1}"),
           programs_);
  const Sweep other =
      folder_.Read("runs: [{name: one}]\nthroughput: {batch: 5, prompt: 8, generate: 16}");
  EXPECT_FALSE(ReadRunRecord(other, other.runs[0]).speeds[0]);
  RunSweep(folder_.Read("runs: [{name: one}]\nthroughput: {batch: 0}"), programs_);
  EXPECT_THAT(Calls("engine"), ElementsAre("one"));
}

TEST_F(SweepRunnerTest, DataMayBeNamedByEitherFile) {
  const Sweep sweep =
      folder_.Read("runs: [{name: one}]\n", {"data.train=" + folder_.Path("tokens.bin"),
                                             "data.validation=" + folder_.Path("tokens.idx")});
  EXPECT_TRUE(RunSweep(sweep, programs_).empty());
  EXPECT_THAT(Calls("trainer"), ElementsAre("one"));
}

TEST_F(SweepRunnerTest, MissingDataIsAnErrorBeforeAnythingRuns) {
  const Sweep sweep = folder_.Read(kRuns, {"data.train=/nowhere/tokens"});
  try {
    RunSweep(sweep, programs_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("data.train: /nowhere/tokens.bin"));
  }
  EXPECT_TRUE(Calls("trainer").empty());
}

TEST_F(SweepRunnerTest, ATrainerThatIsMissingEndsTheSweep) {
  programs_.trainer = folder_.Path("none");
  try {
    RunSweep(folder_.Read(kRuns), programs_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("none cannot be started"));
  }
}

TEST(ChildProcess, StopsWhenAsked) {
  const SweepFolder folder;
  const std::string program = folder.WriteProgram(
      "patient", "trap 'exit 130' TERM\necho ready\nwhile :; do sleep 0.05; done\n");
  ChildProcess process({program}, folder.Path("log"));
  while (ReadFile(folder.Path("log")).empty()) EXPECT_FALSE(process.WaitFor(20));
  process.Stop();
  ASSERT_TRUE(process.WaitFor(20000));
  EXPECT_EQ(process.exit_code(), 130);
}

TEST(ChildProcess, ASignalIsAnExitCode) {
  const SweepFolder folder;
  EXPECT_EQ(RunProcess({"sh", "-c", "kill -9 $$"}, folder.Path("log")), 128 + SIGKILL);
  EXPECT_EQ(RunProcess({"sh", "-c", "pwd"}, folder.Path("log"), "/"), 0);
  EXPECT_EQ(ReadFile(folder.Path("log")), "/\n");
}

}  // namespace
}  // namespace blockformer
