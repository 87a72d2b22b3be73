#include "eval/score_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "tests/cpu/tiny_model_directory.h"

namespace blockformer {
namespace {

// Asks to stop at the first look after something is done.
class ImpatientObserver : public WorkObserver {
 public:
  void Update(int64_t done, const std::string& /*note*/) override { done_ = done; }
  bool StopRequested() const override { return done_ > 0; }
  int64_t done() const { return done_; }

 private:
  int64_t done_ = 0;
};

TEST(ScoreFileTest, ALongLineCanBeStopped) {
  const std::string folder = testing::TempDir() + "/score-file-" + std::to_string(getpid());
  WriteTinyModel(folder, TinyVanillaTextConfig());
  const std::string input = folder + "/in.jsonl";
  constexpr int64_t kTokens = 2000;  // windows of 64
  WriteFileAtomically(input, "{\"text\":\"" + std::string(kTokens, 'x') + "\"}\n");
  const EvalModel model = EvalModel::Load(folder, {});
  Scorer scorer(model.model, {64, 64, {}});
  const ResultFields results = ScoreFields("");
  const ScoreFile file = CheckScoreFile(input, InvalidUtf8::kError, model, 64, results);
  {
    ResumableLines output(folder + "/out.jsonl", {}, file.lines);
    ResultErrors errors(results);
    ImpatientObserver observer;
    ScoreLines(file, model, results, &scorer, &output, &errors, &observer);
    EXPECT_EQ(output.lines_done(), 0);
    EXPECT_LT(observer.done(), kTokens / 2);
  }
  ResumableLines output(folder + "/out.jsonl", {}, file.lines);
  ResultErrors errors(results);
  WorkObserver patient;
  ScoreLines(file, model, results, &scorer, &output, &errors, &patient);
  EXPECT_EQ(output.lines_done(), 1);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace blockformer
