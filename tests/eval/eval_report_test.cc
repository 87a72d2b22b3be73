// The report of tasks, its table, and the comparison of two.
#include "eval/eval_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "eval/compare_reports.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

// Two tasks of `items` items each: a choice of two, and whole texts of 10 bytes.
std::vector<TaskData> Tasks(int64_t items) {
  std::vector<TaskData> tasks(2);
  tasks[0].task.name = "choices";
  tasks[0].task.metrics = {Metric::kAcc};
  tasks[1].task.name = "texts";
  tasks[1].task.version = 2;
  tasks[1].task.output_type = OutputType::kLogLikelihoodRolling;
  tasks[1].task.metrics = {Metric::kBytePerplexity};
  for (int64_t i = 0; i < items; ++i) {
    TaskItem choice;
    choice.requests = {{"c", " a"}, {"c", " b"}};
    choice.target = 0;
    choice.choice_lengths = {1, 1};
    tasks[0].items.push_back(choice);
    TaskItem text;
    text.requests = {{std::nullopt, "0123456789"}};
    text.bytes = 10;
    tasks[1].items.push_back(text);
  }
  return tasks;
}

// The first `right` choices are right, and each text has the log-likelihood given.
std::vector<TaskResult> Results(int64_t items, int64_t right, double log_likelihood) {
  std::vector<RequestScore> scores;
  for (int64_t i = 0; i < items; ++i) {
    scores.push_back({i < right ? -1.0 : -3.0, true});
    scores.push_back({-2.0, false});
  }
  for (int64_t i = 0; i < items; ++i)
    scores.push_back({log_likelihood - 0.1 * (i % 2 == 0), false});
  return TaskResults(Tasks(items), scores);
}

OrderedJson Report(int64_t items, int64_t right, double log_likelihood) {
  return TaskResultsJson(Results(items, right, log_likelihood), {{"model", "blockformer"}});
}

Json AsJson(const OrderedJson& report) { return Json::parse(report.dump()); }

OrderedJson Compare(const Json& a, const Json& b) {
  return EvalComparisonJson(CompareEvalReports(a, "a", b, "b"));
}

TEST(EvalReport, HasTheHarnesssSchema) {
  const OrderedJson report = Report(4, 3, -10);
  EXPECT_EQ(report["results"]["choices"]["acc,none"], 0.75);
  EXPECT_EQ(report["results"]["choices"]["acc_stderr,none"], 0.25);
  EXPECT_DOUBLE_EQ(report["results"]["texts"]["byte_perplexity,none"].get<double>(),
                   std::exp(1.005));
  EXPECT_EQ(report["results"]["texts"]["byte_perplexity_stderr,none"], "N/A");
  EXPECT_EQ(report["versions"]["texts"], 2.0);
  EXPECT_EQ(report["n-shot"]["choices"], 0);
  EXPECT_EQ(report["n-samples"]["choices"]["effective"], 4);
  EXPECT_EQ(report["configs"]["choices"]["output_type"], "multiple_choice");
  const OrderedJson& sample = report["samples"]["choices"][3];
  EXPECT_EQ(sample["doc_id"], 3);
  EXPECT_EQ(sample["target"], 0);
  EXPECT_EQ(sample["filtered_resps"], OrderedJson::parse("[[-3.0,true],[-2.0,false]]"));
  EXPECT_EQ(sample["acc"], 0.0);
  EXPECT_EQ(report["samples"]["texts"][1]["filtered_resps"], OrderedJson::parse("[-10.0]"));
  EXPECT_EQ(report["samples"]["texts"][1]["byte_perplexity"], OrderedJson::parse("[-10.0,10.0]"));
}

TEST(EvalReport, TableHasARowForEachMetric) {
  EXPECT_EQ(TaskResultsTable(Results(4, 3, -10)),
            "|Tasks  |Version|Filter|n-shot|Metric         |   | Value|   |Stderr|\n"
            "|-------|------:|------|-----:|---------------|---|-----:|---|-----:|\n"
            "|choices|      1|none  |     0|acc            |↑  |0.7500|±  |0.2500|\n"
            "|texts  |      2|none  |     0|byte_perplexity|↓  |2.7319|±  |   N/A|\n");
}

// exp(1e4) is beyond double.
TEST(EvalReport, InfinityIsNullInJson) {
  const std::vector<TaskResult> results = Results(4, 3, -1e5);
  const Json report = AsJson(TaskResultsJson(results, {}));
  EXPECT_TRUE(report["results"]["texts"]["byte_perplexity,none"].is_null());
  EXPECT_THAT(TaskResultsTable(results), HasSubstr("|↓  |   inf|±  |   N/A|\n"));
}

// By name, whatever the order in the task.
TEST(EvalReport, TableHasMetricsInOrder) {
  std::vector<TaskData> tasks = Tasks(1);
  tasks.pop_back();
  tasks[0].task.metrics = {Metric::kAccNorm, Metric::kAcc};
  const std::vector<RequestScore> scores = {{-1.0, true}, {-2.0, false}};
  const std::string table = TaskResultsTable(TaskResults(tasks, scores));
  EXPECT_LT(table.find("|acc "), table.find("|acc_norm|")) << table;
}

TEST(CompareEvalReports, TestsDifferencesItemByItem) {
  const EvalComparison comparison =
      CompareEvalReports(AsJson(Report(20, 12, -10)), "a", AsJson(Report(20, 18, -9)), "b");
  const OrderedJson json = EvalComparisonJson(comparison);
  const OrderedJson& accuracy = json["tasks"]["choices"]["acc"];
  EXPECT_EQ(accuracy["a"], 0.6);
  EXPECT_EQ(accuracy["b"], 0.9);
  EXPECT_NEAR(accuracy["difference"].get<double>(), 0.3, 1e-12);
  // 6 items that B alone gets right: 2 * 0.5^6.
  EXPECT_NEAR(accuracy["p_value"].get<double>(), 0.03125, 1e-12);
  const OrderedJson& perplexity = json["tasks"]["texts"]["byte_perplexity"];
  EXPECT_NEAR(perplexity["difference"].get<double>(), 0.1, 1e-9);  // nats a byte
  // All items differ alike.
  EXPECT_NEAR(perplexity["p_value"].get<double>(), 0, 1e-12);
  EXPECT_THAT(EvalComparisonTable(comparison), HasSubstr("|choices|acc"));
  EXPECT_THAT(EvalComparisonTable(comparison), HasSubstr("+0.3000|±"));
}

// The report of one task with the given metrics and samples, which each hold the metrics' values.
Json SamplesReport(const std::vector<std::string>& metrics, const std::vector<Json>& samples) {
  Json report = {{"task_hashes", {{"t", "1"}}}, {"samples", {{"t", samples}}}};
  for (const std::string& metric : metrics) report["results"]["t"][metric + ",none"] = 1.0;
  return report;
}

// Log-likelihoods that differ by 1 over 10 words and by 0 over 30: 1/40 a word. The rests are
// 1 - 10/40 and 0 - 30/40, so that the standard error is sqrt(2 * 2 * 0.75^2) / 40.
TEST(CompareEvalReports, WeighsItemsByTheirLength) {
  const auto report = [](double first) {
    const Json samples = {{{"word_perplexity", {first, 10}}, {"bits_per_byte", {first, 10}}},
                          {{"word_perplexity", {-5, 30}}, {"bits_per_byte", {-5, 30}}}};
    return SamplesReport({"word_perplexity", "bits_per_byte"}, samples);
  };
  const OrderedJson tasks = Compare(report(-3), report(-2))["tasks"]["t"];
  const OrderedJson& words = tasks["word_perplexity"];
  EXPECT_NEAR(words["difference"].get<double>(), 0.025, 1e-12);
  EXPECT_NEAR(words["standard_error"].get<double>(), 0.0375, 1e-12);
  EXPECT_NEAR(words["p_value"].get<double>(), 0.50499, 1e-5);  // two-sided, at z = 2/3
  const OrderedJson& bits = tasks["bits_per_byte"];
  EXPECT_NEAR(bits["difference"].get<double>(), -0.025 / std::log(2), 1e-12);
  EXPECT_NEAR(bits["standard_error"].get<double>(), 0.0375 / std::log(2), 1e-12);
  EXPECT_NEAR(bits["p_value"].get<double>(), 0.50499, 1e-5);
}

// A alone has one of 8 items right and B alone 5, so the p-value is 2 * (1 + 6) / 2^6.
TEST(CompareEvalReports, CountsTheItemsThatOneModelAloneGetsRight) {
  std::vector<Json> a(8, {{"acc_norm", 0.0}});
  std::vector<Json> b(8, {{"acc_norm", 1.0}});
  a[0]["acc_norm"] = a[1]["acc_norm"] = 1.0;
  b[1]["acc_norm"] = 0.0;
  a[2]["acc_norm"] = 1.0;
  const OrderedJson row = Compare(SamplesReport({"acc_norm"}, a),
                                  SamplesReport({"acc_norm"}, b))["tasks"]["t"]["acc_norm"];
  EXPECT_NEAR(row["p_value"].get<double>(), 14.0 / 64, 1e-12);
  EXPECT_NEAR(row["difference"].get<double>(), 0.5, 1e-12);
}

TEST(CompareEvalReports, LeavesOutWhatIsNoNumberAndRefusesOtherWeights) {
  const auto report = [](double weight) {
    Json json = SamplesReport({"acc", "word_perplexity"},
                              {{{"acc", 1.0}, {"word_perplexity", {-3, weight}}}});
    return json;
  };
  Json endless = report(2);
  endless["results"]["t"]["word_perplexity,none"] = nullptr;
  const OrderedJson tasks = Compare(report(2), endless)["tasks"]["t"];
  EXPECT_EQ(tasks.size(), 1U);
  EXPECT_TRUE(tasks["acc"]["p_value"].is_null());  // one item tells nothing
  EXPECT_THROW(Compare(report(2), report(3)), Error);
  EXPECT_THROW(Compare(report(0), report(0)), Error);
}

TEST(CompareEvalReports, EqualReportsDoNotDiffer) {
  const Json report = AsJson(Report(10, 5, -10));
  const OrderedJson comparison = Compare(report, report);
  EXPECT_EQ(comparison["tasks"]["choices"]["acc"]["p_value"], 1.0);
  EXPECT_EQ(comparison["tasks"]["texts"]["byte_perplexity"]["p_value"], 1.0);
  EXPECT_EQ(comparison["tasks"]["texts"]["byte_perplexity"]["difference"], 0.0);
}

TEST(CompareEvalReports, ClearErrors) {
  const Json good = AsJson(Report(4, 3, -10));
  const auto message = [&](const Json& other) -> std::string {
    try {
      CompareEvalReports(good, "a.json", other, "b.json");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message(good), "");
  EXPECT_THAT(message(AsJson(Report(5, 3, -10))), HasSubstr("choices of different records"));
  EXPECT_THAT(message(Json::parse("[]")), HasSubstr("b.json: has no \"results\""));
  EXPECT_THAT(message(Json::parse("{\"results\":{},\"samples\":{},\"task_hashes\":{}}")),
              HasSubstr("no task in common"));
  Json broken = good;
  broken["samples"]["choices"][2] = 5;
  EXPECT_THAT(message(broken), HasSubstr("b.json: choices: sample 2 has no \"acc\""));
  broken = good;
  broken["samples"]["choices"].erase(0);
  EXPECT_THAT(message(broken), HasSubstr("equally many"));
  broken = good;
  broken["results"]["choices"]["acc,none"] = "high";
  EXPECT_THAT(message(broken), HasSubstr("b.json: choices: acc,none is no number"));
  broken = good;
  broken["results"]["choices"] = 1;
  EXPECT_THAT(message(broken), HasSubstr("b.json: has no results of choices"));
}

}  // namespace
}  // namespace blockformer
