// Model directories, training checkpoints and token files of an earlier commit give the figures
// that its programs gave; README.md says what they are.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <sstream>

#include "base/child_process.h"
#include "base/file.h"
#include "config/json.h"

namespace blockformer {
namespace {

constexpr char kData[] = "tests/compatibility/data";
// Sums of f32 in another order, on another processor.
constexpr double kLossTolerance = 1e-5;
constexpr double kScoreTolerance = 2e-4;  // of the sum over some 60 tokens
// A number that lies between two steps of the int8 grid may round to either.
constexpr double kInt8ScoreTolerance = 5e-2;

std::vector<Json> ReadLines(const std::string& path) {
  std::istringstream stream(ReadFile(path));
  std::vector<Json> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(ParseJson(line, path));
  return lines;
}

class CompatibilityTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "compatibility.XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    std::filesystem::copy(kData, folder_, std::filesystem::copy_options::recursive);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  void Run(std::vector<std::string> arguments) const {
    const std::string log = Path("log");
    ASSERT_EQ(RunProcess(arguments, log, folder_), 0) << ReadFile(log);
  }

  std::string folder_;
};

class CompatibleModel : public CompatibilityTest {};
class CompatibleTraining : public CompatibilityTest {};

TEST_P(CompatibleModel, GivesTextsTheirLogLikelihoods) {
  Run({BLOCKFORMER_PROGRAM, "score", GetParam(), "--input", "texts.jsonl", "--output",
       "found.jsonl"});
  const std::vector<Json> found = ReadLines(Path("found.jsonl"));
  const std::vector<Json> expected = ReadLines(Path(GetParam() + ".scores.jsonl"));
  ASSERT_EQ(found.size(), expected.size());
  const bool int8 = GetParam().ends_with("int8");
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(found[i].at("tokens"), expected[i].at("tokens"));
    EXPECT_NEAR(found[i].at("log_likelihood").get<double>(),
                expected[i].at("log_likelihood").get<double>(),
                int8 ? kInt8ScoreTolerance : kScoreTolerance);
  }
}

TEST_P(CompatibleModel, GeneratesTheSameTexts) {
  Run({BLOCKFORMER_PROGRAM, "generate", "--model", GetParam(), "--input", "prompts.jsonl",
       "--output", "found.jsonl", "--max-tokens", "8", "--ignore-eos"});
  EXPECT_EQ(ReadLines(Path("found.jsonl")), ReadLines(Path(GetParam() + ".texts.jsonl")));
}

INSTANTIATE_TEST_SUITE_P(, CompatibleModel,
                         testing::Values("vanilla-f32", "vanilla-int8", "block-f32", "block-int8"),
                         [](const auto& test) {
                           std::string name = test.param;
                           name[name.find('-')] = '_';
                           return name;
                         });

#ifdef BLOCKFORMER_TRAIN_PROGRAM
TEST_P(CompatibleTraining, GoesOnFromTheCheckpoint) {
  Run({BLOCKFORMER_TRAIN_PROGRAM, "train", GetParam() + ".yaml"});
  // The lines of each step, of the training loss and of the validation loss.
  const auto by_step = [](const std::vector<Json>& lines, int64_t from) {
    std::map<int64_t, Json> steps;
    for (const Json& line : lines) {
      const int64_t step = line.at("step");
      if (step >= from) steps[step].update(line);
    }
    return steps;
  };
  const auto found = by_step(ReadLines(Path(GetParam() + "/metrics.jsonl")), 4);
  const auto expected = by_step(ReadLines(Path(GetParam() + ".metrics.jsonl")), 4);
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [step, line] : expected) {
    for (const auto& [name, value] : line.items()) {
      EXPECT_NEAR(found.at(step).at(name).get<double>(), value.get<double>(), kLossTolerance)
          << "step " << step << ": " << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, CompatibleTraining, testing::Values("vanilla", "block"),
                         [](const auto& test) { return test.param; });
#endif

}  // namespace
}  // namespace blockformer
