#include "eval/position_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/gnuplot.h"

namespace blockformer {
namespace {

using testing::HasSubstr;
using testing::Not;

// Windows of two documents, of 5 tokens in two bins and blocks of two.
PositionLoss BlockLoss() {
  return {"block",
          5,
          {{0, {{2, 1}, {6, 2}}, {{3, 1}, {5, 2}}},
           {1, {{3, 1}, {4, 2}}, {{2, 1}, {5, 2}}},
           {1, {{1, 1}, {8, 2}}, {{6, 1}, {3, 2}}}},
          7};
}

PositionLoss VanillaLoss() {
  return {"vanilla",
          5,
          {{0, {{3, 2}, {5, 2}}, {}}, {1, {{4, 2}, {3, 2}}, {}}, {1, {{5, 2}, {8, 2}}, {}}},
          7};
}

OrderedJson JsonOf(const std::vector<PositionLoss>& losses) {
  return PositionLossJson(PositionLossResults(losses));
}

TEST(PositionReport, MeansAndClusteredErrors) {
  const OrderedJson result = JsonOf({BlockLoss()})[0];
  EXPECT_EQ(result["documents"], 2);
  EXPECT_EQ(result["windows"], 3);
  EXPECT_EQ(result["clusters"], "documents");
  EXPECT_EQ(result["tokens"], 9);
  EXPECT_DOUBLE_EQ(result["loss"].get<double>(), 24.0 / 9);
  // Document 0 lost 8 over 3 tokens, document 1 16 over 6: both the mean.
  EXPECT_NEAR(result["standard_error"].get<double>(), 0, 1e-12);
  ASSERT_EQ(result["bins"].size(), 2U);
  const OrderedJson& bin = result["bins"][1];
  EXPECT_EQ(bin["first"], 3);
  EXPECT_EQ(bin["last"], 4);
  EXPECT_EQ(bin["tokens"], 6);
  EXPECT_DOUBLE_EQ(bin["loss"].get<double>(), 3);
  EXPECT_NEAR(bin["standard_error"].get<double>(), 0, 1e-12);
  // 3 over 1, and 8 over 2: the mean is 11 / 3, the deviations are -2/3 and 2/3.
  const OrderedJson& slot = result["block_positions"][0];
  EXPECT_EQ(slot["position"], 0);
  EXPECT_DOUBLE_EQ(slot["loss"].get<double>(), 11.0 / 3);
  EXPECT_NEAR(slot["standard_error"].get<double>(), 4.0 / 9, 1e-12);
}

TEST(PositionReport, WindowsAreTheClustersOfASingleDocument) {
  PositionLoss loss = BlockLoss();
  for (WindowLoss& window : loss.windows) window.document = 0;
  const OrderedJson result = JsonOf({loss})[0];
  EXPECT_EQ(result["clusters"], "windows");
  // Bin 0 has 2, 3 and 1: deviations 0, 1 and -1 over 3 tokens.
  EXPECT_NEAR(result["bins"][0]["standard_error"].get<double>(), std::sqrt(1.5 * 2) / 3, 1e-12);
  loss.windows.resize(1);
  EXPECT_TRUE(JsonOf({loss})[0]["standard_error"].is_null());
  EXPECT_THAT(PositionLossTable(PositionLossResults({loss})),
              HasSubstr("documents: 1; too few for an interval"));
}

TEST(PositionReport, ComparesTextByText) {
  const OrderedJson results = JsonOf({VanillaLoss(), BlockLoss()});
  EXPECT_EQ(results[0]["same_windows"], false);
  EXPECT_EQ(results[1]["same_windows"], true);
  EXPECT_FALSE(results[0].contains("difference"));
  // There is no difference where the tokens are not the first model's: bin 0 lacks some here.
  EXPECT_FALSE(results[1].contains("difference"));
  EXPECT_FALSE(results[1]["bins"][0].contains("difference"));
  const OrderedJson& bin = results[1]["bins"][1];
  EXPECT_DOUBLE_EQ(bin["difference"].get<double>(), 3 - 16.0 / 6);
  // Document 0 differs by 1 over 2 tokens, document 1 by 1 over 4; the mean difference is 1/3.
  const double deviation = (1 - 2.0 / 3) / 6;
  EXPECT_NEAR(bin["difference_standard_error"].get<double>(), std::sqrt(4) * deviation, 1e-12);

  PositionLoss other = BlockLoss();
  other.tokens_hash = 8;
  EXPECT_FALSE(JsonOf({VanillaLoss(), other})[1]["bins"][1].contains("difference"));
}

TEST(PositionReport, NullWhereNothingIsScored) {
  PositionLoss loss = BlockLoss();
  for (WindowLoss& window : loss.windows) window.bins[0] = {};
  const OrderedJson bin = JsonOf({loss})[0]["bins"][0];
  EXPECT_TRUE(bin["loss"].is_null());
  EXPECT_TRUE(bin["standard_error"].is_null());
  EXPECT_EQ(bin["tokens"], 0);
  EXPECT_THAT(PositionLossTable(PositionLossResults({loss})), HasSubstr("0-2                -\n"));
}

TEST(PositionReport, StudentsQuantiles) {
  const std::vector<std::pair<int64_t, double>> known = {
      {2, 12.706}, {3, 4.303}, {5, 2.776}, {6, 2.571}, {10, 2.262}, {31, 2.042}, {1001, 1.962}};
  for (const auto& [clusters, factor] : known) {
    EXPECT_NEAR(IntervalFactor(clusters), factor, 1e-3) << clusters;
  }
}

TEST(PositionReport, TableHasModelsSideBySide) {
  const std::string table = PositionLossTable(PositionLossResults({VanillaLoss(), BlockLoss()}));
  EXPECT_THAT(table, HasSubstr("position          vanilla            block  block - vanilla\n"));
  // The factor is 12.7062. Vanilla lost 5 over 2 tokens and 11 over 4: deviations of -1/3 and 1/3.
  EXPECT_THAT(table, HasSubstr("     3-4  2.6667 ± 1.4118  3.0000 ± 0.0000  0.3333 ± 1.4118\n"));
  EXPECT_THAT(table, HasSubstr("\n\nposition in the block            block\n"
                               "                    0  3.6667 ± 5.6472\n"));
  EXPECT_THAT(
      table, HasSubstr("block: windows of 5 tokens: 3, documents: 2; intervals over documents.\n"));
  EXPECT_THAT(PositionLossTable(PositionLossResults({VanillaLoss()})),
              Not(HasSubstr("in the block")));
}

TEST(PositionReport, PlotHasTheData) {
  const std::string script =
      PositionLossPlotScript(PositionLossResults({VanillaLoss(), BlockLoss()}), "it's.svg");
  EXPECT_THAT(script, HasSubstr("set output 'it''s.svg'"));
  EXPECT_THAT(script, HasSubstr("$loss1 << END\n1 2 "));
  EXPECT_THAT(script, HasSubstr("\n3.5 3 3 3\nEND\n"));
  EXPECT_THAT(script, HasSubstr("$difference1 << END\n3.5 0.33"));
  EXPECT_THAT(script, HasSubstr("$block1 << END\n0 3.66"));
  const std::string alone = PositionLossPlotScript(PositionLossResults({VanillaLoss()}), "a.svg");
  EXPECT_THAT(alone, Not(HasSubstr("$difference")));
  EXPECT_THAT(alone, Not(HasSubstr("$block")));
}

TEST(PositionReport, GnuplotDrawsIt) {
  try {
    RequireGnuplot("--plot");
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  const std::string folder = testing::TempDir() + "/position-plot-" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  PositionLoss renamed = BlockLoss();
  renamed.model = "it's; exit \\ \"$x\"\nplot";
  for (const char* name : {"a.svg", "b.png"}) {
    const std::string path = folder + "/" + name;
    DrawPlot(path, PositionLossPlotScript(PositionLossResults({VanillaLoss(), renamed}), name));
    EXPECT_GT(std::filesystem::file_size(path), 1000U) << path;
  }
  // One point, no difference that is known, no interval.
  PositionLoss block = BlockLoss();
  PositionLoss vanilla = VanillaLoss();
  for (PositionLoss* loss : {&block, &vanilla}) {
    loss->windows.resize(1);
    loss->windows[0].bins.resize(1);
  }
  DrawPlot(folder + "/c.svg",
           PositionLossPlotScript(PositionLossResults({vanilla, block}), "c.svg"));
  EXPECT_THAT(ReadFile(folder + "/a.svg"), HasSubstr("position in the block"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace blockformer
