// `blockformer eval-data`, run as a program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "config/json.h"
#include "tests/cli/program_fixture.h"

namespace blockformer {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class EvalDataCommandTest : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    WriteFileAtomically(Path("valid.jsonl"),
                        "{\"goal\": \"To dry socks,\", \"sol1\": \"hang them up.\", "
                        "\"sol2\": \"drown them.\"}\n");
    WriteFileAtomically(Path("valid-labels.lst"), "1\n");
  }

  Outcome RunPiqa(const std::string& arguments) const {
    return Run("eval-data piqa " + Path("valid.jsonl") + " " + Path("valid-labels.lst") + " " +
               arguments);
  }
};

TEST_F(EvalDataCommandTest, WritesTheRecords) {
  const std::string output = Path("new/folder/piqa.jsonl");
  const Outcome outcome = RunPiqa("--output " + output);
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.output, output + ": 1 records\n");
  EXPECT_EQ(ReadFile(output),
            "{\"ctx\":\"To dry socks,\",\"choices\":[\"hang them up.\",\"drown them.\"],"
            "\"label\":1}\n");
}

TEST_F(EvalDataCommandTest, WritesToEvalDataByDefault) {
  WriteFileAtomically(Path("wiki.test.raw"), " \n = A = \n \n Text . \n");
  const Outcome outcome =
      Run("eval-data wikitext wiki.test.raw", true, "cd " + directory_ + " && ");
  EXPECT_EQ(outcome.output, "eval-data/wikitext2_test_pages.jsonl: 1 records\n");
  const std::vector<Json> lines = ReadLines(Path("eval-data/wikitext2_test_pages.jsonl"));
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0], Json({{"page", " = A = \n \n Text . \n"}}));
}

TEST_F(EvalDataCommandTest, ReplacesOnlyWithForce) {
  const std::string output = Path("piqa.jsonl");
  WriteFileAtomically(output, "mine");
  const Outcome refused = RunPiqa("--output " + output);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.output, HasSubstr(output + ": is there already; --force replaces it"));
  EXPECT_EQ(ReadFile(output), "mine");
  EXPECT_EQ(RunPiqa("--force --output " + output).exit_code, 0);
  EXPECT_THAT(ReadFile(output), StartsWith("{\"ctx\""));
}

TEST_F(EvalDataCommandTest, WritesNothingAfterAnError) {
  WriteFileAtomically(Path("valid-labels.lst"), "7\n");
  const Outcome outcome = RunPiqa("--output " + Path("piqa.jsonl"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("valid-labels.lst:1: \"7\" is no label"));
  EXPECT_FALSE(FileExists(Path("piqa.jsonl")));
}

TEST_F(EvalDataCommandTest, NamesTheSets) {
  const Outcome unknown = Run("eval-data boolq " + Path("valid.jsonl"));
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.output, HasSubstr("\"boolq\" is no evaluation set; one of hellaswag, piqa"));
  EXPECT_EQ(Run("eval-data piqa").exit_code, 2);
  EXPECT_THAT(Run("eval-data --help").output,
              HasSubstr("\n  piqa           valid.jsonl valid-labels.lst  piqa_val.jsonl\n"));
}

}  // namespace
}  // namespace blockformer
