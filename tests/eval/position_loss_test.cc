// Losses by position against one forward pass a window.
#include "eval/position_loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "tests/cpu/tiny_model_directory.h"
#include "tests/engine/score_by_forward.h"

namespace blockformer {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

// As in scorer_test.cc, for a sum over tokens.
constexpr double kSumTolerance = 1e-4;

// As many tokens of the byte tokenizer, without "th".
std::string RandomText(int64_t length, uint64_t seed) {
  Random random(seed);
  std::string text;
  for (int64_t i = 0; i < length; ++i) text += static_cast<char>('a' + random.Below(8));
  return text;
}

// The loss of each token of a window that has one, by position. `left` pads stand before it.
std::vector<std::optional<double>> Reference(const Model& model, const std::string& text,
                                             int64_t left) {
  ScoreRequest request;
  for (const char c : text) request.tokens.push_back(c + 1);
  request.scored = std::ssize(text) - 1;
  const std::vector<TokenScore> scores = ScoreByForward(
      model, request, left == 0 ? ScoringPadding::kUnpadded : ScoringPadding::kPadded);
  std::vector<std::optional<double>> losses(text.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    losses[text.size() - scores.size() + i] = -scores[i].log_likelihood;
  }
  return losses;
}

void ExpectTotal(const LossSum& actual, double sum, int64_t tokens) {
  EXPECT_NEAR(actual.sum, sum, kSumTolerance * (1 + sum));
  EXPECT_EQ(actual.tokens, tokens);
}

class PositionLossTest : public testing::Test {
 protected:
  PositionLossTest() : folder_(testing::TempDir() + "/position-" + std::to_string(getpid())) {
    WriteTinyModel(folder_ + "/block", TinyTextConfig());
    WriteTinyModel(folder_ + "/vanilla", TinyVanillaTextConfig());
  }
  ~PositionLossTest() override { std::filesystem::remove_all(folder_); }

  std::string Corpus(const std::vector<std::string>& texts) const {
    std::string lines;
    for (const std::string& text : texts) lines += OrderedJson({{"text", text}}).dump() + "\n";
    WriteFileAtomically(folder_ + "/texts.jsonl", lines);
    return folder_ + "/texts.jsonl";
  }

  PositionLoss Measure(const std::string& name, const PositionLossOptions& options,
                       const std::vector<std::string>& files,
                       ScoringPadding padding = ScoringPadding::kPadded,
                       WorkObserver* observer = nullptr) const {
    const EvalModel model = EvalModel::Load(folder_ + "/" + name, {});
    Scorer scorer(model.model, {options.context, 50, padding});
    WorkObserver patient;
    return MeasurePositionLoss(name, model, &scorer, files, options, {},
                               observer == nullptr ? &patient : observer);
  }

  std::string MessageOf(const std::string& name, const PositionLossOptions& options,
                        const std::vector<std::string>& files) const {
    try {
      Measure(name, options, files);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  // All windows of two documents by bin and by position in the block.
  void ExpectAsForward(const std::string& name, ScoringPadding padding) const {
    constexpr int64_t kContext = 18;
    constexpr int64_t kBins = 4;  // of 5, 4, 5 and 4 positions
    const std::vector<std::string> texts = {RandomText(60, 1), RandomText(17, 2),
                                            RandomText(40, 3)};
    const PositionLoss loss = Measure(name, {kContext, kBins, {}}, {Corpus(texts)}, padding);
    const auto model = LoadModel(folder_ + "/" + name);
    const int64_t left = padding == ScoringPadding::kPadded ? model->unit_length() - 1 : 0;
    ASSERT_THAT(loss.windows, SizeIs(5));
    for (size_t i = 0; i < loss.windows.size(); ++i) {
      SCOPED_TRACE(i);
      const WindowLoss& window = loss.windows[i];
      EXPECT_EQ(window.document, i < 3 ? 0 : 1);
      const std::string text =
          i < 3 ? texts[0].substr(i * 18, 18) : texts[2].substr((i - 3) * 18, 18);
      std::vector<LossSum> bins(4);
      std::vector<LossSum> slots(model->is_block() ? 4 : 0);
      const auto losses = Reference(*model, text, left);
      for (size_t p = 0; p < losses.size(); ++p) {
        if (!losses[p]) continue;
        bins[p < 5 ? 0 : p < 9 ? 1 : p < 14 ? 2 : 3].Add({*losses[p], 1});
        if (!slots.empty()) slots[(p + static_cast<size_t>(left)) % 4].Add({*losses[p], 1});
      }
      for (size_t b = 0; b < bins.size(); ++b) {
        ExpectTotal(window.bins[b], bins[b].sum, bins[b].tokens);
      }
      ASSERT_EQ(window.block_positions.size(), slots.size());
      for (size_t s = 0; s < slots.size(); ++s) {
        ExpectTotal(window.block_positions[s], slots[s].sum, slots[s].tokens);
      }
    }
  }

  std::string folder_;
};

TEST_F(PositionLossTest, EqualsAForwardPassForEachWindow) {
  ExpectAsForward("vanilla", ScoringPadding::kPadded);
  ExpectAsForward("block", ScoringPadding::kPadded);
}

TEST_F(PositionLossTest, ATextAtABlocksStartHasNoLossInTheFirst) {
  ExpectAsForward("block", ScoringPadding::kUnpadded);
}

TEST_F(PositionLossTest, UsesAllWholeWindows) {
  const PositionLossOptions options = {16, 2, {}};
  EXPECT_THAT(Measure("block", options, {Corpus({RandomText(32, 1)})}).windows, SizeIs(2));
  EXPECT_THAT(Measure("block", options, {Corpus({RandomText(16, 1)})}).windows, SizeIs(1));
  EXPECT_THAT(Measure("block", options, {Corpus({RandomText(47, 1)})}).windows, SizeIs(2));
  const std::string many = Corpus({RandomText(40, 1), "", RandomText(15, 2), RandomText(40, 3)});
  const PositionLoss all = Measure("block", options, {many, many});
  ASSERT_THAT(all.windows, SizeIs(8));
  EXPECT_EQ(all.windows.back().document, 3);
  EXPECT_THAT(Measure("block", {16, 2, 3}, {many}).windows, SizeIs(3));
  EXPECT_THAT(Measure("block", {16, 2, 100}, {many}).windows, SizeIs(4));
}

TEST_F(PositionLossTest, TheHashTellsOtherWindowsApart) {
  const std::string one = Corpus({RandomText(40, 1)});
  const PositionLossOptions options = {16, 2, {}};
  const uint64_t hash = Measure("block", options, {one}).tokens_hash;
  EXPECT_EQ(Measure("vanilla", options, {one}).tokens_hash, hash);
  EXPECT_NE(Measure("block", {16, 2, 1}, {one}).tokens_hash, hash);
  EXPECT_NE(Measure("block", options, {Corpus({RandomText(40, 2)})}).tokens_hash, hash);
}

TEST_F(PositionLossTest, ReadsBeyondTheTrainedContext) {
  testing::internal::CaptureStderr();
  const PositionLoss loss = Measure("block", {100, 2, {}}, {Corpus({RandomText(200, 1)})});
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("a context of 100 tokens has positions that training, with 64, did not"));
  EXPECT_THAT(loss.windows, SizeIs(2));
}

TEST_F(PositionLossTest, ClearErrors) {
  const std::string texts = Corpus({RandomText(10, 1), RandomText(15, 1), ""});
  EXPECT_THAT(MessageOf("block", {16, 2, {}}, {texts}),
              HasSubstr("no document has 16 tokens, a context's; the longest has 15"));
  EXPECT_THAT(MessageOf("block", {7, 2, {}}, {texts}),
              HasSubstr("`context`: 7 is too short; at least 8 is wanted, two blocks"));
  EXPECT_THAT(MessageOf("vanilla", {1, 1, {}}, {texts}), HasSubstr("`context`: 1 is too short"));
  EXPECT_THAT(MessageOf("block", {8, 0, {}}, {texts}),
              HasSubstr("`bins`: 0 is out of range; 1 to 8 is wanted"));
  EXPECT_THAT(MessageOf("block", {8, 9, {}}, {texts}), HasSubstr("`bins`: 9 is out of range"));
  EXPECT_THAT(MessageOf("block", {8, 2, 0}, {texts}), HasSubstr("`limit`: 0 is out of range"));
  EXPECT_THAT(MessageOf("block", {8, 2, {}}, {folder_ + "/none.jsonl"}), HasSubstr("none.jsonl"));
  EXPECT_THAT(MessageOf("block", {8, 2, {}}, {"/dev/null"}),
              HasSubstr("/dev/null: is not a regular file"));
  EXPECT_EQ(MessageOf("block", {8, 8, 1}, {texts}), "");
}

TEST_F(PositionLossTest, HostileTextsAreNamed) {
  WriteFileAtomically(folder_ + "/bad.txt", "abc\xff");
  EXPECT_THAT(MessageOf("block", {8, 2, {}}, {folder_ + "/bad.txt"}), HasSubstr("/bad.txt: "));
  WriteFileAtomically(folder_ + "/bad.jsonl", "{\"text\": \"abc\"}\n{\"text\": 3}\n");
  EXPECT_THAT(MessageOf("block", {8, 2, {}}, {folder_ + "/bad.jsonl"}),
              HasSubstr("/bad.jsonl:2: "));
  // End of text inside a text is what stands for padding.
  const std::string marks = Corpus({"abc<|endoftext|><|endoftext|>defghijk"});
  const PositionLoss loss = Measure("block", {8, 1, 1}, {marks});
  EXPECT_EQ(loss.windows[0].bins[0].tokens, 7);
  EXPECT_TRUE(std::isfinite(loss.windows[0].bins[0].sum));
}

// Also in texts without a window.
TEST_F(PositionLossTest, StopsWhenTold) {
  struct HurriedObserver : WorkObserver {
    bool StopRequested() const override { return true; }
  } observer;
  for (const int64_t length : {40, 8}) {
    try {
      Measure("block", {16, 2, {}}, {Corpus({RandomText(length, 1)})}, ScoringPadding::kPadded,
              &observer);
      FAIL() << "it went on";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInterrupted) << error.what();
    }
  }
}

}  // namespace
}  // namespace blockformer
