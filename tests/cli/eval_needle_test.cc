#include "cli/eval_needle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
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
    flags_.options.samples = 1;
  }
  ~EvalNeedleTest() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  // What is printed.
  std::string Evaluate(const std::vector<std::string>& models, const std::string& json,
                       const std::string& plot = "") {
    testing::internal::CaptureStdout();
    std::string failure;
    try {
      const EvalOutput output = {json, plot};
      output.Check({});
      EvaluateNeedle(models, data_, flags_, EvalFlags(), output);
    } catch (const Error& error) {
      failure = error.what();
    }
    return testing::internal::GetCapturedStdout() + failure;
  }

  std::string directory_;
  NeedleFlags flags_;
  std::vector<std::string> data_ = {Path("book.txt")};
};

TEST_F(EvalNeedleTest, WritesATableAndAReport) {
  const std::string output = Evaluate({Path("a/block"), Path("b/block")}, Path("needle.json"));
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
  EXPECT_THAT(Evaluate({Path("a/block")}, ""), HasSubstr("block: 0.0 % of 10 prompts"));
  EXPECT_EQ(ParseJson(Evaluate({Path("a/block")}, "-"), "report")["results"][0]["lengths"],
            Json({256, 512}));
  ModelConfig config = TinyTextConfig();
  config.max_length = 200;
  WriteTinyModel(Path("short"), config);
  EXPECT_THAT(Evaluate({Path("a/block"), Path("short")}, ""), HasSubstr("depth      200\n"));
}

TEST_F(EvalNeedleTest, RefusesBeforeItComputes) {
  const std::vector<std::string> models = {Path("a/block")};
  EXPECT_THAT(Evaluate(models, "/no/such"), HasSubstr("--json: /no/such: the folder /no"));
  EXPECT_THAT(Evaluate(models, "", Path("x.pdf")), HasSubstr("--plot: "));
  EXPECT_THAT(Evaluate({Path("a/block"), Path("none")}, ""), HasSubstr("none: "));
  flags_.form = "riddle";
  EXPECT_THAT(Evaluate(models, ""), HasSubstr("--needle-form: \"riddle\" is not known"));
  flags_.form = "continuation";
  data_ = {Path("none.txt")};
  EXPECT_THAT(Evaluate(models, ""), HasSubstr("none.txt: "));
  data_ = {};
  EXPECT_THAT(Evaluate(models, ""), HasSubstr("--data: is missing"));
}

TEST_F(EvalNeedleTest, ReadsItsFlags) {
  CLI::App app;
  flags_.AddTo(&app);
  app.parse(
      "--needle --needle-form continuation --lengths 512,1024 --depths 0,0.5 --samples 3 "
      "--seed 7");
  EXPECT_TRUE(flags_.is_wanted);
  EXPECT_EQ(flags_.form, "continuation");
  EXPECT_EQ(flags_.options.lengths, (std::vector<int64_t>{512, 1024}));
  EXPECT_EQ(flags_.options.depths, (std::vector<double>{0, 0.5}));
  EXPECT_EQ(flags_.options.samples, 3);
  EXPECT_EQ(flags_.options.seed, 7U);
}

}  // namespace
}  // namespace blockformer
