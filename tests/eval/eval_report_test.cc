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
    text.requests = {{"", "0123456789"}};
    text.bytes = 10;
    tasks[1].items.push_back(text);
  }
  return tasks;
}

// The first `right` choices are right, and each text has the log-likelihood given.
OrderedJson Report(int64_t items, int64_t right, double log_likelihood) {
  std::vector<RequestScore> scores;
  for (int64_t i = 0; i < items; ++i) {
    scores.push_back({i < right ? -1.0 : -3.0, true});
    scores.push_back({-2.0, false});
  }
  for (int64_t i = 0; i < items; ++i)
    scores.push_back({log_likelihood - 0.1 * (i % 2 == 0), false});
  return MakeEvalReport(Tasks(items), scores, {{"model", "blockformer"}});
}

Json AsJson(const OrderedJson& report) { return Json::parse(report.dump()); }

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
  EXPECT_EQ(sample["resps"], OrderedJson::parse("[[-3.0,true],[-2.0,false]]"));
  EXPECT_EQ(sample["acc"], 0.0);
  EXPECT_EQ(report["samples"]["texts"][1]["resps"], OrderedJson::parse("[[-10.0]]"));
  EXPECT_EQ(report["samples"]["texts"][1]["byte_perplexity"], OrderedJson::parse("[-10.0,10.0]"));
}

TEST(EvalReport, TableHasARowForEachMetric) {
  EXPECT_EQ(EvalTable(Report(4, 3, -10)),
            "|Tasks  |Version|Filter|n-shot|Metric         | Value|   |Stderr|\n"
            "|-------|------:|------|-----:|---------------|-----:|---|-----:|\n"
            "|choices|      1|none  |     0|acc            |0.7500|±  |0.2500|\n"
            "|texts  |      2|none  |     0|byte_perplexity|2.7319|±  |   N/A|\n");
}

TEST(CompareReports, TestsDifferencesItemByItem) {
  const OrderedJson comparison =
      CompareReports(AsJson(Report(20, 12, -10)), "a", AsJson(Report(20, 18, -9)), "b");
  const OrderedJson& accuracy = comparison["tasks"]["choices"]["acc"];
  EXPECT_EQ(accuracy["a"], 0.6);
  EXPECT_EQ(accuracy["b"], 0.9);
  EXPECT_NEAR(accuracy["difference"].get<double>(), 0.3, 1e-12);
  // 6 items that B alone gets right: 2 * 0.5^6.
  EXPECT_NEAR(accuracy["p_value"].get<double>(), 0.03125, 1e-12);
  const OrderedJson& perplexity = comparison["tasks"]["texts"]["byte_perplexity"];
  EXPECT_NEAR(perplexity["difference"].get<double>(), 0.1, 1e-9);  // nats a byte
  // All items differ alike.
  EXPECT_NEAR(perplexity["p_value"].get<double>(), 0, 1e-12);
  EXPECT_THAT(ReportComparisonTable(comparison), HasSubstr("|choices|acc"));
  EXPECT_THAT(ReportComparisonTable(comparison), HasSubstr("+0.3000|±"));
}

TEST(CompareReports, EqualReportsDoNotDiffer) {
  const Json report = AsJson(Report(10, 5, -10));
  const OrderedJson comparison = CompareReports(report, "a", report, "a");
  EXPECT_EQ(comparison["tasks"]["choices"]["acc"]["p_value"], 1.0);
  EXPECT_EQ(comparison["tasks"]["texts"]["byte_perplexity"]["p_value"], 1.0);
  EXPECT_EQ(comparison["tasks"]["texts"]["byte_perplexity"]["difference"], 0.0);
}

TEST(CompareReports, ClearErrors) {
  const Json good = AsJson(Report(4, 3, -10));
  const auto message = [&](const Json& other) -> std::string {
    try {
      CompareReports(good, "a.json", other, "b.json");
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
