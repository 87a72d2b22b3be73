#include "bench/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/file.h"
#include "blockformer/error.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

Json Result(const std::string& model, int64_t batch, double rate, double spread) {
  return {{"model", model}, {"dtype", "f32"}, {"kv_dtype", "f16"},          {"batch", batch},
          {"prompt", 128},  {"generate", 64}, {"total_tokens_per_s", rate}, {"spread", spread}};
}

class CompareTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/compare-test-" + std::to_string(getpid());
    std::filesystem::create_directories(directory_);
    Write("a.json", {Result("block", 1, 100, 0.05), Result("block", 8, 400, 0.02),
                     Result("vanilla", 1, 50, 0.01)});
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  void Write(const std::string& name, const std::vector<Json>& results) const {
    WriteFileAtomically(Path(name), Json{{"results", results}}.dump());
  }

  // The message of the error that comparing a.json with b.json ends in.
  std::string Problem() const {
    try {
      CompareThroughput(Path("a.json"), Path("b.json"));
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  std::string directory_;
};

TEST_F(CompareTest, SaysWhatExceedsTheSpread) {
  Write("b.json", {Result("block", 8, 396, 0.01), Result("block", 1, 106, 0.01),
                   Result("vanilla", 2, 50, 0.01)});
  const ThroughputComparison rates = CompareThroughput(Path("a.json"), Path("b.json"));
  const OrderedJson comparison = ThroughputComparisonJson(rates);
  ASSERT_EQ(comparison["results"].size(), 2U);
  const OrderedJson& first = comparison["results"][0];
  EXPECT_EQ(first["model"], "block");
  EXPECT_EQ(first["batch"], 1);
  EXPECT_EQ(first["a"], 100);
  EXPECT_EQ(first["b"], 106);
  EXPECT_DOUBLE_EQ(first["ratio"], 1.06);
  EXPECT_DOUBLE_EQ(first["spread"], 0.05);
  EXPECT_TRUE(first["exceeds_spread"]);
  const OrderedJson& second = comparison["results"][1];
  EXPECT_DOUBLE_EQ(second["ratio"], 0.99);
  EXPECT_FALSE(second["exceeds_spread"]);
  ASSERT_EQ(comparison["only_in_a"].size(), 1U);
  EXPECT_EQ(comparison["only_in_a"][0]["model"], "vanilla");
  ASSERT_EQ(comparison["only_in_b"].size(), 1U);
  EXPECT_EQ(comparison["only_in_b"][0]["batch"], 2);
  const std::string table = ThroughputComparisonTable(rates);
  EXPECT_THAT(table, HasSubstr("batch 1, 128+64 tokens: faster"));
  EXPECT_THAT(table, HasSubstr("only in A: vanilla"));
}

TEST_F(CompareTest, SlowerAndTheSameAreToldApart) {
  Write("b.json", {Result("block", 1, 97, 0), Result("block", 8, 300, 0)});
  const std::string table =
      ThroughputComparisonTable(CompareThroughput(Path("a.json"), Path("b.json")));
  EXPECT_THAT(table, HasSubstr("batch 1, 128+64 tokens: within the spread"));
  EXPECT_THAT(table, HasSubstr("batch 8, 128+64 tokens: slower"));
}

TEST_F(CompareTest, NamesTheFieldThatIsWrong) {
  const auto problem_of = [&](const std::function<void(Json*)>& change) {
    Json result = Result("block", 1, 100, 0);
    change(&result);
    Write("b.json", {Result("vanilla", 1, 100, 0), result});
    return Problem();
  };
  EXPECT_THAT(problem_of([](Json* json) { json->erase("model"); }),
              HasSubstr("b.json: results[1].model: is missing"));
  EXPECT_THAT(problem_of([](Json* json) { (*json)["batch"] = "8"; }),
              HasSubstr("results[1].batch: \"8\" is not possible"));
  EXPECT_THAT(problem_of([](Json* json) { (*json)["total_tokens_per_s"] = nullptr; }),
              HasSubstr("results[1].total_tokens_per_s"));
  EXPECT_THAT(problem_of([](Json* json) { (*json)["total_tokens_per_s"] = -5; }),
              HasSubstr("results[1].total_tokens_per_s: -5"));
  EXPECT_THAT(problem_of([](Json* json) { (*json)["spread"] = "wide"; }),
              HasSubstr("results[1].spread"));
  EXPECT_THAT(problem_of([](Json* json) { *json = 3; }), HasSubstr("results[1]"));
  EXPECT_THAT(problem_of([](Json* json) { *json = Result("vanilla", 1, 7, 0); }),
              HasSubstr("results[1]: is a second result of vanilla"));
}

TEST_F(CompareTest, NamesTheFileThatIsNoReport) {
  EXPECT_THAT(Problem(), HasSubstr("b.json"));
  for (const char* text : {"", "[]", "3", "{", "{}", "{\"results\": 3}", "{\"results\": {}}"}) {
    WriteFileAtomically(Path("b.json"), text);
    EXPECT_THAT(Problem(), HasSubstr("b.json: ")) << text;
  }
}

TEST_F(CompareTest, NothingInCommonIsAnError) {
  Write("b.json", {Result("other", 1, 100, 0)});
  EXPECT_THAT(Problem(), HasSubstr("no result of one"));
  Write("b.json", {});
  EXPECT_THAT(Problem(), HasSubstr("no result of one"));
}

}  // namespace
}  // namespace blockformer
