// The report of recorded metrics.
#include "sweep/sweep_report.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/error.h"
#include "sweep/sweep_plots.h"
#include "tests/sweep/sweep_folder.h"

namespace blockformer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kFields[] =
    "axes: {prefix_length: [1, 2, 4]}\n"
    "runs: [{name: long, set: {training.steps: 40}}]\n"
    "throughput: {batch: 4, prompt: 8, generate: 16, repetitions: 3}\n";

class SweepReportTest : public testing::Test {
 protected:
  SweepReportTest() : sweep_(folder_.Read(kFields)) {}

  void Record(const std::string& run, int64_t step, const std::string& metrics, double speed) {
    const auto found = std::find_if(sweep_.runs.begin(), sweep_.runs.end(),
                                    [&](const SweepRun& r) { return r.name == run; });
    ASSERT_NE(found, sweep_.runs.end()) << run;
    const std::string directory = sweep_.RunDirectory(*found);
    MakeDirectories(directory + "/latest");
    const Json state = {{"step", step}, {"recipe", found->recipe.document}};
    WriteFileAtomically(directory + "/latest/state.json", state.dump());
    WriteFileAtomically(directory + "/metrics.jsonl", metrics);
    for (size_t round = 0; round < 3; ++round) RecordSpeed(*found, round, speed);
  }

  void RecordSpeed(const SweepRun& run, size_t round, double speed) {
    const Json result = {
        {"batch", 4}, {"prompt", 8}, {"generate", 16}, {"total_tokens_per_s", speed}};
    const Json report = {{"machine", {{"processor", "x86"}, {"threads", 2}}},
                         {"results", {result}}};
    WriteFileAtomically(ThroughputPath(sweep_, run, round), report.dump());
  }

  void RecordAll() {
    Record("base", 20,
           "{\"step\": 10, \"loss\": 9}\n"
           "{\"step\": 10, \"validation_loss\": 6.0}\n"
           "{\"step\": 20, \"validation_loss\": 5.0, \"validation_bits_per_byte\": 1.5,"
           " \"validation_loss_by_position\": [5.5, 5.0, null, 4.5], \"sample\": \"a\"}\n"
           "{\"step\": 21, \"validation_l",
           1000);
    Record("prefix_length-1", 20, "{\"step\": 20, \"validation_loss\": 5.5}\n", 2000);
    Record("prefix_length-4", 20, "{\"step\": 20, \"validation_loss\": 5.2}\n", 900);
    Record("long", 40,
           "{\"step\": 10, \"validation_loss\": 6.0}\n{\"step\": 40, \"validation_loss\": 4.5}\n",
           500);
  }

  SweepFolder folder_;
  Sweep sweep_;
};

TEST_F(SweepReportTest, RowsHaveLossesFlopsAndSpeeds) {
  RecordAll();
  const SweepReport report = MakeReport(sweep_);
  ASSERT_EQ(report.rows.size(), 4u);
  const ReportRow& base = report.rows[0];
  EXPECT_EQ(base.name, "base");
  EXPECT_EQ(base.changes, "prefix_length 2");
  EXPECT_EQ(base.status, RunStatus::kFinished);
  EXPECT_EQ(base.tokens, 20 * 8 * 32);
  EXPECT_EQ(base.flops, TrainingFlops(sweep_.runs[0].recipe, 20));
  EXPECT_EQ(base.loss, 5.0);
  EXPECT_EQ(base.bits_per_byte, 1.5);
  EXPECT_EQ(base.tokens_per_second, 1000);
  ASSERT_EQ(base.loss_by_position.size(), 4u);
  EXPECT_EQ(base.loss_by_position[3], 4.5);
  EXPECT_TRUE(std::isnan(base.loss_by_position[2]));
  EXPECT_EQ(report.records[0].curve.size(), 2u);
}

TEST_F(SweepReportTest, TheSpeedIsTheMedianOfTheRounds) {
  RecordAll();
  RecordSpeed(sweep_.runs[0], 1, 1300);
  RecordSpeed(sweep_.runs[0], 2, 1100);
  const SweepReport report = MakeReport(sweep_);
  EXPECT_EQ(report.rows[0].tokens_per_second, 1100);
  EXPECT_NEAR(report.rows[0].speed_spread, 0.3, 1e-12);
  const std::string text = ReportAsMarkdown(sweep_, report);
  EXPECT_THAT(text, HasSubstr("Measured on x86, 2 threads."));
  EXPECT_THAT(text, HasSubstr("| 1100 | 30 % |"));
  EXPECT_THAT(text, HasSubstr("The speed of base differs between rounds by more than 20 %"));
  EXPECT_EQ(ReportAsJson(sweep_, report)["runs"][0]["tokens_per_s_by_round"][1], 1300);
}

TEST_F(SweepReportTest, SteadySpeedsNeedNoNote) {
  RecordAll();
  EXPECT_THAT(ReportAsMarkdown(sweep_, MakeReport(sweep_)), Not(HasSubstr("differs between")));
}

TEST_F(SweepReportTest, TheFrontierIsWhatNothingBeatsInBoth) {
  RecordAll();
  std::vector<std::string> frontier;
  for (const ReportRow& row : MakeReport(sweep_).rows) {
    if (row.on_frontier) frontier.push_back(row.name);
  }
  EXPECT_THAT(frontier, ElementsAre("base", "prefix_length-1", "long"));
}

TEST_F(SweepReportTest, LossesAreComparedAtTheFewestFlops) {
  RecordAll();
  const SweepReport report = MakeReport(sweep_);
  // The shortest prefix costs least a step; all runs but "long" have 20 steps.
  EXPECT_EQ(report.equal_flops, report.rows[1].flops);
  EXPECT_EQ(report.rows[1].loss_at_equal_flops, 5.5);
  const double step = report.equal_flops / TrainingFlops(sweep_.runs[3].recipe, 1);
  ASSERT_TRUE(report.rows[3].loss_at_equal_flops);
  EXPECT_NEAR(*report.rows[3].loss_at_equal_flops, 6.0 - 1.5 * (step - 10) / 30, 1e-9);
  EXPECT_FALSE(report.rows[2].loss_at_equal_flops);  // its first validation came later
}

TEST_F(SweepReportTest, ARunThatWasNotStartedOrNotFinishedSaysSo) {
  Record("long", 12, "", 500);
  const SweepReport report = MakeReport(sweep_);
  EXPECT_EQ(report.rows[0].status, RunStatus::kNotStarted);
  EXPECT_EQ(report.rows[3].status, RunStatus::kNotFinished);
  EXPECT_FALSE(report.rows[3].on_frontier);
  EXPECT_THAT(ReportAsMarkdown(sweep_, report), HasSubstr("| long (not finished) |"));
}

TEST_F(SweepReportTest, AllFormsAreWritten) {
  RecordAll();
  MakeDirectories(sweep_.output + "/logs");
  WriteReport(sweep_);
  EXPECT_THAT(ReadFile(sweep_.output + "/report.md"), HasSubstr("| base | prefix_length 2 |"));
  EXPECT_THAT(ReadFile(sweep_.output + "/report.csv"),
              HasSubstr("5.000000,1.500000,5.301942,5.50 5.00 nan 4.50,1000.0,0.000,true"));
  const Json json = ReadJsonFile(sweep_.output + "/report.json");
  EXPECT_EQ(json["runs"][0]["curve"][1]["tokens"], 20 * 8 * 32);
  EXPECT_TRUE(json["runs"][0]["loss_by_position"][2].is_null());
}

TEST_F(SweepReportTest, PlotsHaveTitlesUnitsAndEveryRun) {
  RecordAll();
  const SweepReport report = MakeReport(sweep_);
  const std::string curves = PlotScript(SweepPlots()[0], sweep_, report);
  EXPECT_THAT(curves, HasSubstr("training tokens (millions)"));
  EXPECT_THAT(curves, HasSubstr("validation loss (nats a token)"));
  EXPECT_THAT(curves, HasSubstr("title 'long'"));
  const std::string positions = PlotScript(SweepPlots()[1], sweep_, report);
  EXPECT_THAT(positions, HasSubstr("position in the block (token)"));
  EXPECT_THAT(positions, HasSubstr("1 5.5\n2 5\n4 4.5\nEND"));
  EXPECT_THAT(positions, Not(HasSubstr("nan")));
  const std::string speeds = PlotScript(SweepPlots()[2], sweep_, report);
  EXPECT_THAT(speeds, HasSubstr("set logscale x\n  set xtics (500, 1000, 2000)"));
  for (const SweepRun& run : sweep_.runs) EXPECT_THAT(speeds, HasSubstr("'" + run.name + "'"));
  EXPECT_THAT(speeds, HasSubstr("$frontier << END\n500 4.5\n1000 5\n2000 5.5\nEND"));
}

TEST_F(SweepReportTest, SpeedsThatAreCloseHaveALinearAxis) {
  RecordAll();
  for (const SweepRun& run : sweep_.runs) {
    for (size_t round = 0; round < 3; ++round) RecordSpeed(run, round, 1000);
  }
  EXPECT_THAT(PlotScript(SweepPlots()[2], sweep_, MakeReport(sweep_)), Not(HasSubstr("logscale")));
}

TEST_F(SweepReportTest, ThereIsNothingToPlotOfNothing) {
  const SweepReport report = MakeReport(sweep_);
  for (const SweepPlot& plot : SweepPlots()) EXPECT_EQ(PlotScript(plot, sweep_, report), "");
}

TEST_F(SweepReportTest, DamagedFilesAreNamed) {
  Record("base", 20, "{\"step\": 20, \"validation_loss\": \"low\"}\n", 1);
  try {
    MakeReport(sweep_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("metrics.jsonl: validation_loss: \"low\""));
  }
}

}  // namespace
}  // namespace blockformer
