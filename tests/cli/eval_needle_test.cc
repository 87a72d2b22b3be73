#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "cli/eval_modes.h"
#include "tests/cpu/tiny_model_directory.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class EvalNeedleTest : public testing::Test {
 protected:
  EvalNeedleTest() : directory_(testing::TempDir() + "/eval-needle-" + std::to_string(getpid())) {
    ModelConfig config = TinyTextConfig();
    config.max_length = 600;
    WriteTinyModel(Path("a/block"), config);
    config.max_length = 300;
    WriteTinyModel(Path("b/block"), config);
    std::string text = "It began.";
    for (int i = 0; i < 50; ++i) text += " The rain did not end.";
    WriteFileAtomically(Path("book.txt"), text);
  }
  ~EvalNeedleTest() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  // What is printed for these models and flags.
  std::string Evaluate(const std::string& arguments) const {
    return EvaluateOn(Path("book.txt"), "--samples 1 " + arguments);
  }
  static std::string EvaluateOn(const std::string& data, const std::string& arguments) {
    CLI::App app;
    AddEvalNeedle(&app);
    testing::internal::CaptureStdout();
    std::string failure;
    try {
      app.parse("needle --data " + data + " " + arguments);
    } catch (const Error& error) {
      failure = error.what();
    } catch (const CLI::ParseError& error) {
      failure = error.what();
    }
    return testing::internal::GetCapturedStdout() + failure;
  }

  std::string directory_;
};

TEST_F(EvalNeedleTest, WritesATableAndAReport) {
  const std::string output =
      Evaluate(Path("a/block") + " " + Path("b/block") + " --json " + Path("needle.json"));
  EXPECT_THAT(output, HasSubstr("a/block: 0.0 % of 5 prompts, form question\n  depth      256\n"));
  const Json report = ReadJsonFile(Path("needle.json"));
  EXPECT_EQ(report["task"], "needle");
  EXPECT_EQ(report["form"], "question");
  ASSERT_EQ(report["results"].size(), 2U);
  EXPECT_EQ(report["results"][0]["model"], Path("a/block"));
  EXPECT_EQ(report["results"][0]["lengths"], Json({256}));
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(report["results"][0]["prompts"][i]["expected"],
              report["results"][1]["prompts"][i]["expected"]);
  }
}

TEST_F(EvalNeedleTest, DefaultLengthsGoUpToTheContext) {
  EXPECT_THAT(Evaluate(Path("a/block")), HasSubstr("block: 0.0 % of 10 prompts"));
  EXPECT_EQ(ParseJson(Evaluate(Path("a/block") + " --json -"), "report")["results"][0]["lengths"],
            Json({256, 512}));
  ModelConfig config = TinyTextConfig();
  config.max_length = 200;
  WriteTinyModel(Path("short"), config);
  EXPECT_THAT(Evaluate(Path("a/block") + " " + Path("short")), HasSubstr("depth      200\n"));
}

TEST_F(EvalNeedleTest, RefusesBeforeItComputes) {
  const std::string block = Path("a/block") + " ";
  EXPECT_THAT(Evaluate(block + "--json /no/such"), HasSubstr("--json: /no/such: the folder /no"));
  EXPECT_THAT(Evaluate(block + "--plot " + Path("x.pdf")), HasSubstr("--plot: "));
  EXPECT_THAT(Evaluate(block + Path("none")), HasSubstr("none: "));
  EXPECT_THAT(Evaluate(block + "--form riddle"), HasSubstr("--form: \"riddle\" is not known"));
  EXPECT_THAT(EvaluateOn(Path("none.txt"), block), HasSubstr("none.txt: "));
}

TEST_F(EvalNeedleTest, ReadsItsFlags) {
  const std::string output =
      EvaluateOn(Path("book.txt"),
                 Path("a/block") +
                     " --form continuation --lengths 200,300 --depths 0,0.5 --samples 3 --seed 7 "
                     "--json -");
  const Json report = ParseJson(output, "report");
  EXPECT_EQ(report["form"], "continuation");
  EXPECT_EQ(report["seed"], 7);
  EXPECT_EQ(report["results"][0]["lengths"], Json({200, 300}));
  EXPECT_EQ(report["results"][0]["depths"], Json({0.0, 0.5}));
  EXPECT_EQ(report["results"][0]["samples"], 3);
}

}  // namespace
}  // namespace blockformer
