// `blockformer bench` as a user runs it, on a tiny model. Nothing here looks at how long it takes.
#include <gmock/gmock.h>

#include <set>

#include "config/json.h"
#include "tests/cli/program_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class BenchProgramTest : public ProgramTest {
 protected:
  // On one thread, since tests run beside each other.
  Outcome Throughput(const std::string& flags, bool with_errors = false,
                     const std::string& wrapper = "") const {
    return Run("bench throughput --threads 1 --prompt 9 --generate 8 --repetitions 2 " +
                   Path("block") + " " + flags,
               with_errors, wrapper);
  }
};

TEST_F(BenchProgramTest, ReportsEveryModelAndBatch) {
  const Outcome outcome = Throughput(Path("block") + " --batch 1,3 --json - --csv " +
                                     Path("out.csv") + " --plot " + Path("out.svg"));
  ASSERT_EQ(outcome.exit_code, 0);
  const Json json = ParseJson(outcome.output, "output");
  ASSERT_EQ(json["results"].size(), 4U);
  for (const char* key : {"f32_gflops", "int8_gops", "memory_gbps"}) {
    EXPECT_GT(json["machine"][key].get<double>(), 0.0) << key;
  }
  for (const char* key : {"commit", "compiler", "flags"}) EXPECT_TRUE(json[key].is_string()) << key;
  int best = 0;
  for (const Json& result : json["results"]) {
    EXPECT_EQ(result["kind"], "block");
    EXPECT_EQ(result["dtype"], "f32");
    EXPECT_EQ(result["repetitions"], 2);
    for (const char* key :
         {"prefill_tokens_per_s", "decode_tokens_per_s", "total_tokens_per_s", "ttft_ms", "unit_ms",
          "utilisation", "bytes_per_sequence", "ratio", "share_of_limit", "bandwidth_share"}) {
      EXPECT_GT(result[key].get<double>(), 0.0) << key;
    }
    best += result["best"].get<bool>() ? 1 : 0;
  }
  EXPECT_EQ(best, 2);
  EXPECT_EQ(json["results"][0]["model"], "block");
  EXPECT_EQ(json["results"][1]["model"], "block#2");
  EXPECT_THAT(ReadFile(Path("out.csv")), testing::StartsWith("model,kind,dtype,kv_dtype,batch,"));
  EXPECT_THAT(ReadFile(Path("out.svg")), HasSubstr("</svg>"));
  EXPECT_FALSE(FileExists(Path("out.svg.log")));
}

TEST_F(BenchProgramTest, SampledRunsReportTheSameFields) {
  const Json full = ParseJson(Throughput("--batch 2 --json -").output, "full");
  const Json sampled =
      ParseJson(Throughput("--batch 2 --json - --sampled-depths 2").output, "sampled");
  EXPECT_EQ(sampled["results"][0]["method"], "sampled");
  for (const auto& [key, value] : full["results"][0].items()) {
    EXPECT_TRUE(sampled["results"][0].contains(key)) << key;
  }
  EXPECT_GT(sampled["results"][0]["decode_tokens_per_s"].get<double>(), 0.0);
}

TEST_F(BenchProgramTest, ASearchEndsInAFullRunOfTheBestBatch) {
  const Outcome outcome = Throughput("--batch auto --memory 2M --json " + Path("out.json"));
  ASSERT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("best"));
  const Json json = ReadJsonFile(Path("out.json"));
  EXPECT_GE(json["results"].size(), 2U);
  int best = 0;
  std::set<int64_t> batches;
  for (const Json& result : json["results"]) {
    EXPECT_TRUE(batches.insert(result["batch"].get<int64_t>()).second) << result;
    EXPECT_EQ(result["best"], result["method"] == "full");
    best += result["best"].get<bool>() ? 1 : 0;
  }
  EXPECT_EQ(best, 1);
}

TEST_F(BenchProgramTest, ComparesItsOwnReports) {
  const std::string path = Path("out.json");
  ASSERT_EQ(Throughput("--batch 1,2 --json " + path).exit_code, 0);
  const Outcome outcome = Run("bench compare --json " + path + " " + path, false);
  ASSERT_EQ(outcome.exit_code, 0);
  const Json json = ParseJson(outcome.output, "output");
  ASSERT_EQ(json["results"].size(), 2U);
  EXPECT_EQ(json["results"][0]["ratio"], 1);
  EXPECT_THAT(Run("bench compare " + path + " " + path).output, HasSubstr("within the spread"));
}

TEST_F(BenchProgramTest, MeasuresKernels) {
  const Outcome outcome =
      Run("bench kernels --threads 1 --min-time 0.001 --json - "
          "--filter 'gemm/5M/dense/f32/M:8$|attention/5M/f32/context:128'",
          false);
  ASSERT_EQ(outcome.exit_code, 0);
  const Json json = ParseJson(outcome.output, "output");
  ASSERT_EQ(json["benchmarks"].size(), 2U);
  for (const Json& result : json["benchmarks"]) {
    for (const char* key : {"GOP/s", "peak_share", "GB/s", "bandwidth_share"}) {
      EXPECT_GT(result[key].get<double>(), 0.0) << key;
    }
  }
}

TEST_F(BenchProgramTest, ClearErrorsForWhatCannotBe) {
  const auto expect = [&](const std::string& flags, int code, const std::string& part) {
    const Outcome outcome = Throughput(flags, true);
    EXPECT_EQ(outcome.exit_code, code) << flags;
    EXPECT_THAT(outcome.output, HasSubstr(part)) << flags;
    EXPECT_THAT(outcome.output, testing::Not(HasSubstr("loading"))) << flags;
  };
  expect("--batch 0", 2, "--batch: \"0\"");
  expect("--batch 1,auto", 2, "--batch: \"auto\"");
  expect("--memory 8X", 2, "--memory: \"8X\"");
  expect("--dtype f16", 2, "--dtype: \"f16\"");
  expect("--kv-dtype f16,f16", 2, "--kv-dtype: 2 values for 1 models");
  expect("--json no/such/x", 2, "--json: no/such/x: the folder no/such");
  expect("--plot no/such/x", 2, "--plot: no/such/x: the folder no/such");
  const auto expect_range = [&](const std::string& flag, const std::string& value) {
    const Outcome outcome = Run("bench throughput " + Path("block") + " " + flag + " " + value);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.output, HasSubstr(flag + ": " + value + " is out of range"));
  };
  expect_range("--prompt", "0");
  expect_range("--generate", "-1");
  expect_range("--repetitions", "0");
  expect_range("--sampled-depths", "-1");
  for (const std::string batch : {"auto", "8"}) {
    const Outcome outcome = Throughput("--memory 1K --batch " + batch, true);
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.output, HasSubstr("--memory: 0 MB do not hold block"));
  }
  const Outcome without = Throughput("--plot " + Path("x.svg"), true, "PATH=/nowhere ");
  EXPECT_EQ(without.exit_code, 1);
  EXPECT_THAT(without.output, HasSubstr("--plot: needs gnuplot"));
  EXPECT_THAT(Run("bench kernels --filter '('").output, HasSubstr("--filter: \"(\""));
  EXPECT_THAT(Run("bench kernels --filter none").output, HasSubstr("--filter: \"none\""));
  EXPECT_THAT(Run("bench kernels --min-time 0").output, HasSubstr("--min-time: 0"));
}

}  // namespace
}  // namespace blockformer
