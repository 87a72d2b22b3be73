#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "cli/eval_modes.h"
#include "tests/cli/program_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class EvalPositionsTest : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    ModelConfig vanilla = TinyVanillaTextConfig();
    vanilla.max_length = 40;
    WriteTinyModel(Path("vanilla"), vanilla);
    WriteFileAtomically(Path("a.txt"), std::string(100, 'a'));
    WriteFileAtomically(Path("b.txt"), std::string(120, 'b'));
  }

  // What is wrong with these models and flags.
  std::string MessageOf(const std::string& arguments) const {
    CLI::App app;
    AddEvalPositions(&app);
    try {
      app.parse("positions --data " + Path("a.txt") + " " + arguments);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(EvalPositionsTest, ReportsAllModelsOnTheSmallestContext) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(MessageOf("--data " + Path("b.txt") + " --bins 4 --limit 4 --json " + Path("out.json") +
                      " " + Path("block") + " " + Path("vanilla/")),
            "");
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("vanilla - block"));
  const Json report = ReadJsonFile(Path("out.json"));
  EXPECT_EQ(report["task"], "loss_by_position");
  EXPECT_EQ(report["context"], 40);
  EXPECT_EQ(report["scoring"]["max_length"], 40);
  ASSERT_EQ(report["results"].size(), 2U);
  EXPECT_EQ(report["results"][0]["model"], "block");
  EXPECT_EQ(report["results"][1]["windows"], 4);
  EXPECT_EQ(report["results"][1]["documents"], 2);
}

TEST_F(EvalPositionsTest, WarnsOfModelsThatReadOtherTokens) {
  WriteTinyModel(Path("other/block"), TinyTextConfig());
  std::string tokenizer = ReadFile(Path("other/block/tokenizer.json"));
  const std::string a = "\"a\":98";
  ASSERT_NE(tokenizer.find(a), std::string::npos);
  // "a" and "b" in each other's place.
  tokenizer.replace(tokenizer.find(a), a.size(), "\"a\":99");
  tokenizer.replace(tokenizer.find("\"b\":99"), a.size(), "\"b\":98");
  WriteFileAtomically(Path("other/block/tokenizer.json"), tokenizer);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  EXPECT_EQ(MessageOf(Path("block") + " " + Path("other/block") + " --json -"), "");
  const std::string errors = testing::internal::GetCapturedStderr();
  EXPECT_THAT(errors, HasSubstr("other/block reads other tokens than " + Path("block")));
  EXPECT_EQ(ParseJson(testing::internal::GetCapturedStdout(), "output")["results"].size(), 2U);
}

TEST_F(EvalPositionsTest, ErrorsBeforeAnythingIsComputed) {
  const std::string block = Path("block") + " ";
  EXPECT_THAT(MessageOf(block + "--json " + Path("none/out.json")), HasSubstr("--json: "));
  EXPECT_THAT(MessageOf(block + "--plot " + Path("none/out.svg")), HasSubstr("--plot: "));
  EXPECT_THAT(MessageOf(block + "--plot " + Path("out.pdf")),
              HasSubstr("out.pdf is no picture that can be drawn"));
  // The second model is the wrong one.
  EXPECT_THAT(MessageOf(Path("vanilla") + " " + block + "--context 6 --bins 2"),
              HasSubstr("`context`: 6 is too short; at least 8 is wanted"));
  EXPECT_THAT(MessageOf(block + Path("none")), HasSubstr("none"));
  EXPECT_THAT(MessageOf(block), "");
}

}  // namespace
}  // namespace blockformer
