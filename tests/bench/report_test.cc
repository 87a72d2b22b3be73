#include "bench/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "bench/plot.h"
#include "devices/devices.h"
#include "tests/cpu/tiny_model_directory.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

// A run that makes its first 4 tokens a sequence within the first quarter of its time.
ThroughputRun MakeRun(int64_t batch, double seconds) {
  return {seconds / 4, seconds, 4 * batch, 1000 * batch, {{40, 100}, {60, 50}}};
}

class ReportTest : public testing::Test {
 protected:
  static RaceResult Result(size_t contestant, int64_t batch, std::vector<double> seconds,
                           bool is_full = true) {
    RaceResult result = {contestant, {batch, 32, 32}, {}, is_full};
    for (const double time : seconds) result.runs.push_back(MakeRun(batch, time));
    return result;
  }

  ThroughputReport Report(std::vector<RaceResult> results) const {
    MarkBest(contestants_.size(), &results);
    return MakeThroughputReport(contestants_, results, before_, after_);
  }

  std::shared_ptr<const Model> model_ = RandomModel(TinyTextConfig(), 1);
  std::vector<Contestant> contestants_ = {{"one", model_, NumberType::kF32},
                                          {"a \"b\", c", model_, NumberType::kInt8}};
  MachineSpeed before_ = {100, 400, 10};
  MachineSpeed after_ = {110, 440, 11};
};

TEST_F(ReportTest, RatesAreThoseOfTheMedianRun) {
  const OrderedJson report = ThroughputJson(Report({Result(0, 2, {1, 4, 2})}));
  const OrderedJson& result = report["results"][0];
  EXPECT_DOUBLE_EQ(result["total_tokens_per_s"], 2 * 32 / 2.0);
  EXPECT_DOUBLE_EQ(result["prefill_tokens_per_s"], 2 * 32 / 0.5);
  EXPECT_DOUBLE_EQ(result["decode_tokens_per_s"], (2 * 32 - 8) / 1.5);
  EXPECT_DOUBLE_EQ(result["unit_ms"], 1e3 * 2 * 4 * 1.5 / 56);
  EXPECT_DOUBLE_EQ(result["ttft_ms"], 500);
  EXPECT_DOUBLE_EQ(result["spread"], 3);
  EXPECT_DOUBLE_EQ(result["measured_bytes_per_sequence"], 1000);
  const MachineSpeed machine = Between(before_, after_);
  EXPECT_DOUBLE_EQ(machine.f32_gflops, 105);
  EXPECT_DOUBLE_EQ(result["utilisation"],
                   UsefulOperations(TinyTextConfig(), {2, 32, 32}) / 2 / 105e9);
  EXPECT_DOUBLE_EQ(
      result["share_of_limit"].get<double>() * result["limit_tokens_per_s"].get<double>(),
      result["decode_tokens_per_s"]);
  EXPECT_DOUBLE_EQ(report["machine"]["f32_gflops"], 105);
  EXPECT_DOUBLE_EQ(report["machine"]["before"]["f32_gflops"], 100);
  EXPECT_NEAR(report["machine"]["drift"].get<double>(), 0.1, 1e-9);
}

TEST_F(ReportTest, NothingDecodedBehindThePrefillIsNull) {
  RaceResult result = Result(0, 1, {1});
  result.runs[0].tokens_in_prefill = 32;
  result.runs[0].resident_bytes = 0;
  const ThroughputReport report = Report({result});
  const OrderedJson json = ThroughputJson(report);
  for (const char* key : {"decode_tokens_per_s", "unit_ms", "bandwidth_share", "share_of_limit",
                          "measured_bytes_per_sequence"}) {
    EXPECT_TRUE(json["results"][0][key].is_null()) << key;
  }
  EXPECT_THAT(ThroughputTable(report), HasSubstr(" - "));
}

TEST_F(ReportTest, RatiosAreToTheFirstModelAtTheSameBatch) {
  const OrderedJson report =
      ThroughputJson(Report({Result(0, 1, {1}), Result(1, 1, {2}), Result(0, 4, {2}),
                             Result(1, 4, {1}), Result(1, 8, {1})}));
  EXPECT_DOUBLE_EQ(report["results"][0]["ratio"], 1);
  EXPECT_DOUBLE_EQ(report["results"][1]["ratio"], 0.5);
  EXPECT_DOUBLE_EQ(report["results"][3]["ratio"], 2);
  // The best ones of both: 8 sequences a second and 2.
  EXPECT_DOUBLE_EQ(report["results"][4]["ratio"], 4);
}

TEST_F(ReportTest, OneResultOfEachModelIsTheBest) {
  const auto best = [](std::vector<RaceResult> results) {
    MarkBest(2, &results);
    std::vector<bool> marks;
    for (const RaceResult& result : results) marks.push_back(result.is_best);
    return marks;
  };
  EXPECT_EQ(best({Result(0, 1, {1}), Result(1, 1, {1}), Result(0, 4, {2}), Result(1, 4, {8})}),
            (std::vector<bool>{false, true, true, false}));
  // After a search only what was carried out in full counts.
  EXPECT_EQ(best({Result(0, 4, {1}, false), Result(0, 1, {1}, true), Result(1, 2, {1}, false)}),
            (std::vector<bool>{false, true, true}));
}

TEST_F(ReportTest, CsvHasTheFieldsOfTheJson) {
  const ThroughputReport report = Report({Result(0, 1, {1}), Result(1, 1, {2})});
  std::istringstream csv(ThroughputCsv(report));
  std::string header, first, second, rest;
  std::getline(csv, header);
  std::getline(csv, first);
  std::getline(csv, second);
  EXPECT_FALSE(std::getline(csv, rest));
  std::string keys;
  const OrderedJson json = ThroughputJson(report);
  for (const auto& [key, value] : json["results"][0].items()) {
    EXPECT_FALSE(value.is_structured()) << key;
    keys += (keys.empty() ? "" : ",") + key;
  }
  EXPECT_EQ(header, keys);
  EXPECT_THAT(first, testing::StartsWith("one,block,f32,f32,1,true,full,32,32,"));
  EXPECT_THAT(second, testing::StartsWith("\"a \"\"b\"\", c\",block,f32,int8,1,"));
}

TEST_F(ReportTest, ANoisyMachineIsSaidToBeOne) {
  EXPECT_TRUE(NoiseWarnings(Report({Result(0, 1, {1, 1.1})})).empty());
  EXPECT_THAT(NoiseWarnings(Report({Result(0, 8, {1, 1.2})})),
              testing::ElementsAre("one, batch 8: repetitions differ by 20 %"));
  after_.memory_gbps = 13;
  EXPECT_THAT(NoiseWarnings(Report({Result(0, 8, {1})})),
              testing::ElementsAre(HasSubstr("differ by 30 %")));
}

TEST_F(ReportTest, PlotsHaveACurveAndALimitForEachModel) {
  const std::string script = BenchPlotScript(
      Report({Result(0, 1, {1}), Result(1, 1, {2}), Result(0, 4, {2}), Result(1, 4, {1})}),
      "it's.svg");
  EXPECT_THAT(script, HasSubstr("set output 'it''s.svg'"));
  EXPECT_THAT(script, HasSubstr("$batch0 << END\n1 32\n4 64\nEND"));
  EXPECT_THAT(script, HasSubstr("$context1 << END\n40 100\n60 50\nEND"));
  EXPECT_THAT(script, HasSubstr("title 'one, f32 cache, batch 4'"));
  EXPECT_THAT(script, HasSubstr("$batch_limit1 using 1:2 with lines"));
  EXPECT_THAT(script, HasSubstr("title 'a \"b\", c, int8 cache'"));
}

}  // namespace
}  // namespace blockformer
