#include "eval/needle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/gnuplot.h"
#include "engine/engine.h"
#include "tests/cpu/tiny_model_directory.h"
#include "tests/text/character_tokenizer.h"

namespace blockformer {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

// Sentences of about 30 bytes, each different.
std::string RunningText(int sentences) {
  std::string text = "It began.";
  for (int i = 0; i < sentences; ++i) {
    text += " On day " + std::to_string(i) + " the rain did not end.";
  }
  return text;
}

class NeedleTest : public testing::Test {
 protected:
  NeedleTest()
      : directory_(testing::TempDir() + "/needle-test-" + std::to_string(getpid())),
        model_(Load(directory_)) {}
  ~NeedleTest() override { std::filesystem::remove_all(directory_); }

  static EvalModel Load(const std::string& directory) {
    ModelConfig config = TinyTextConfig();
    config.max_length = 512;
    WriteTinyModel(directory, config);
    return EvalModel::Load(directory, {});
  }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  Haystack Encode(const std::string& text) const { return EncodeHaystack(model_.tokenizer, text); }
  std::string Decode(const NeedlePrompt& prompt) const {
    return model_.tokenizer.Decode(prompt.tokens);
  }
  std::vector<NeedlePrompt> Make(const NeedleOptions& options,
                                 const std::string& text = RunningText(200)) const {
    return MakeNeedlePrompts(model_.tokenizer, Encode(text), options);
  }
  std::string MakeError(const NeedleOptions& options, const std::string& text) const {
    try {
      Make(options, text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "no error";
  }
  // The texts before which sentences end.
  std::vector<std::string> SentenceEnds(const std::string& text) const {
    const Haystack haystack = Encode(text);
    std::vector<std::string> rest;
    for (const int64_t end : haystack.sentence_ends) {
      rest.push_back(model_.tokenizer.Decode(std::span(haystack.tokens).subspan(end)));
    }
    return rest;
  }

  std::string directory_;
  EvalModel model_;
};

NeedleOptions Options(NeedleForm form = NeedleForm::kQuestion) {
  NeedleOptions options;
  options.form = form;
  options.lengths = {600, 1000};
  options.samples = 4;
  return options;
}

TEST_F(NeedleTest, PromptsHaveTheirLengthAndDepth) {
  for (const NeedleForm form : {NeedleForm::kQuestion, NeedleForm::kContinuation}) {
    const NeedleOptions options = Options(form);
    const std::vector<NeedlePrompt> prompts = Make(options);
    ASSERT_THAT(prompts, SizeIs(5 * 2 * 4));
    for (size_t i = 0; i < prompts.size(); ++i) {
      const NeedlePrompt& prompt = prompts[i];
      EXPECT_EQ(prompt.depth, options.depths[i / 8]);
      EXPECT_EQ(prompt.length, options.lengths[i / 4 % 2]);
      EXPECT_THAT(prompt.tokens, SizeIs(prompt.length - kNeedleNewTokens));
      const std::string text = Decode(prompt);
      const std::string needle = NeedleSentence(prompt.city, prompt.digits);
      const double before = static_cast<double>(text.find(needle));
      const double haystack =
          static_cast<double>(text.size() - needle.size() - NeedleEnding(form, prompt.city).size());
      EXPECT_NEAR(before / haystack, prompt.placed, 0.02);
      EXPECT_NEAR(prompt.placed, prompt.depth, 30.0 / 400) << text;
    }
  }
}

TEST_F(NeedleTest, TheNeedleStandsOnceBetweenSentences) {
  for (const NeedleForm form : {NeedleForm::kQuestion, NeedleForm::kContinuation}) {
    for (const NeedlePrompt& prompt : Make(Options(form))) {
      std::string text = Decode(prompt);
      const std::string needle = NeedleSentence(prompt.city, prompt.digits);
      const std::string ending = NeedleEnding(form, prompt.city);
      EXPECT_THAT(text, EndsWith("." + ending));
      text.resize(text.size() - ending.size());
      const size_t place = text.find(needle);
      ASSERT_NE(place, std::string::npos) << text;
      EXPECT_THAT(text.substr(0, place), AnyOf("", EndsWith(".")));
      EXPECT_EQ(text.find(prompt.digits), text.rfind(prompt.digits));
      EXPECT_EQ(text.find(prompt.city), text.rfind(prompt.city));
      // Without the needle, it is a piece of the haystack.
      EXPECT_THAT(RunningText(200), HasSubstr(text.erase(place, needle.size())));
    }
  }
}

TEST_F(NeedleTest, EndingsAreThoseDocumented) {
  EXPECT_EQ(NeedleSentence("Oslo", "1234567"), " The magic number of Oslo is 1234567.");
  EXPECT_EQ(NeedleEnding(NeedleForm::kQuestion, "Oslo"),
            "\n\nQuestion: What is the magic number of Oslo?\nAnswer: The magic number of Oslo is");
  EXPECT_EQ(NeedleEnding(NeedleForm::kContinuation, "Oslo"), " The magic number of Oslo is");
  EXPECT_EQ(ParseNeedleForm("--form", "continuation"), NeedleForm::kContinuation);
  EXPECT_THROW(ParseNeedleForm("--form", "riddle"), Error);
}

TEST_F(NeedleTest, SamplesOfACellDiffer) {
  NeedleOptions options = Options();
  options.lengths = {600};
  options.depths = {0.5};
  options.samples = 30;
  std::set<std::string> cities;
  std::set<std::string> digits;
  std::set<std::string> openings;
  for (const NeedlePrompt& prompt : Make(options)) {
    EXPECT_THAT(prompt.digits, testing::MatchesRegex("[1-9][0-9][0-9][0-9][0-9][0-9][0-9]"));
    cities.insert(prompt.city);
    digits.insert(prompt.digits);
    openings.insert(Decode(prompt).substr(0, 100));
  }
  EXPECT_THAT(cities, SizeIs(30));
  EXPECT_THAT(digits, SizeIs(30));
  EXPECT_GT(openings.size(), 15U);
}

TEST_F(NeedleTest, PromptsDependOnTheSeedAndTheirCellAlone) {
  const NeedleOptions options = Options();
  const std::vector<NeedlePrompt> all = Make(options);
  NeedleOptions one = options;
  one.lengths = {1000};
  one.depths = {0.25};
  const std::vector<NeedlePrompt> same = Make(one);
  ++one.seed;
  const std::vector<NeedlePrompt> other = Make(one);
  ASSERT_THAT(same, SizeIs(4));
  for (size_t i = 0; i < same.size(); ++i) {
    EXPECT_EQ(same[i].tokens, all[8 + 4 + i].tokens);
    EXPECT_NE(other[i].tokens, same[i].tokens);
    EXPECT_NE(all[4 + i].digits, same[i].digits);
  }
}

TEST_F(NeedleTest, WithoutSentencesTheNeedleLiesAtTheDepthItself) {
  NeedleOptions options = Options();
  options.depths = {0.5};
  for (const NeedlePrompt& prompt : Make(options, std::string(5000, 'x'))) {
    EXPECT_NEAR(prompt.placed, 0.5, 0.002);
  }
}

TEST_F(NeedleTest, FindsTheEndsOfSentences) {
  EXPECT_THAT(SentenceEnds("He ran. \"Why?\" she asked. Now"),
              ElementsAre(" \"Why?\" she asked. Now", " she asked. Now", " Now", ""));
  EXPECT_THAT(SentenceEnds("Mr. J. Wills saw 3.5 e.g.x of it.) Then\n\nMore\nof"),
              ElementsAre(" Then\n\nMore\nof", "\n\nMore\nof", ""));
  EXPECT_THAT(SentenceEnds("\u201CStop!\u201D\n\n  Go."), ElementsAre("\n\n  Go.", ""));
  EXPECT_THAT(SentenceEnds(""), ElementsAre(""));
}

// As tokenizers of Llama's family, which put a space before a text and drop it when they decode.
TEST_F(NeedleTest, FindsTheEndsOfSentencesWhereATextBeginsWithASpace) {
  const Tokenizer tokenizer = Tokenizer::Parse(CharacterTokenizerJson().dump(), "characters");
  const Haystack haystack = EncodeHaystack(tokenizer, "hell. ho. lo");
  std::vector<std::string> rest;
  for (const int64_t end : haystack.sentence_ends) {
    rest.push_back(tokenizer.DecodeContinuation(std::span(haystack.tokens).subspan(end)));
  }
  EXPECT_THAT(rest, ElementsAre(" ho. lo", " lo", ""));
}

TEST_F(NeedleTest, RefusesWhatDoesNotFit) {
  const auto error = [&](const auto& change, const std::string& text = RunningText(200)) {
    NeedleOptions options = Options();
    change(&options);
    return MakeError(options, text);
  };
  EXPECT_THAT(error([](NeedleOptions*) {}, RunningText(10)),
              HasSubstr("`data`: the haystack of 289 tokens is too short for a length of 600, "
                        "which needs "));
  EXPECT_THAT(error([](NeedleOptions*) {}, ""), HasSubstr("`data`: the haystack of 0 tokens"));
  EXPECT_THAT(error([](NeedleOptions* o) {
                o->lengths = {600, 140};
              }),
              HasSubstr("`lengths`: 140 is too short, since"));
  EXPECT_THAT(error([](NeedleOptions* o) { o->lengths = {-1}; }), HasSubstr("`lengths`: -1 "));
  EXPECT_THAT(error([](NeedleOptions* o) { o->lengths = {int64_t{1} << 60}; }),
              HasSubstr("`lengths`: 1152921504606846976 is out of range"));
  EXPECT_THAT(error([](NeedleOptions* o) { o->lengths.clear(); }), HasSubstr("`lengths`: is"));
  EXPECT_THAT(error([](NeedleOptions* o) { o->depths = {0, 1.5}; }), HasSubstr("`depths`: 1.5 "));
  EXPECT_THAT(error([](NeedleOptions* o) { o->depths = {std::nan("")}; }),
              HasSubstr("`depths`: nan "));
  EXPECT_THAT(error([](NeedleOptions* o) { o->depths.clear(); }), HasSubstr("`depths`: is"));
  EXPECT_THAT(error([](NeedleOptions* o) { o->samples = 0; }), HasSubstr("`samples`: 0 "));
}

TEST_F(NeedleTest, ReadsTextAndJsonLines) {
  WriteFileAtomically(Path("a.txt"), "One.");
  WriteFileAtomically(Path("b.jsonl"), "{\"text\": \"Two.\"}\n{\"text\": \"Three.\"}\n");
  EXPECT_EQ(ReadHaystack({Path("a.txt"), Path("b.jsonl")}), "One.\n\nTwo.\n\nThree.");
  WriteFileAtomically(Path("bad.txt"), "ab\xFF");
  try {
    ReadHaystack({Path("bad.txt")});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("bad.txt: the byte at offset 2 is not valid UTF-8"));
  }
  EXPECT_THROW(ReadHaystack({Path("none.txt")}), Error);
}

TEST_F(NeedleTest, LeavesOutWhatIsFarBehind) {
  std::string text = "a";
  for (int i = 0; i < 3 << 20; ++i) text += "\u00E9";
  WriteFileAtomically(Path("long.txt"), text);
  WriteFileAtomically(Path("not-read.txt"), "\xFF");
  // 4 MB would end within a character.
  EXPECT_EQ(ReadHaystack({Path("long.txt"), Path("not-read.txt")}), text.substr(0, (4 << 20) - 1));
}

TEST_F(NeedleTest, CountsHitsByDepthAndLength) {
  EXPECT_TRUE(IsNeedleHit(" 1234567. On day", "1234567"));
  EXPECT_FALSE(IsNeedleHit(" 123456 7", "1234567"));
  EXPECT_FALSE(IsNeedleHit("", "1234567"));
  NeedleOptions options = Options();
  options.depths = {0, 1};
  const std::vector<NeedlePrompt> prompts = Make(options);
  std::vector<std::string> answers(prompts.size(), " 0");
  for (const size_t i : {0, 1, 2, 4, 12, 15}) answers[i] = " " + prompts[i].digits + ".";
  const std::vector<NeedleResult> results = {JudgeNeedle("sage", options, prompts, answers)};
  const OrderedJson result = NeedleJson(results)[0];
  EXPECT_EQ(result["hits"].dump(), "[[3,1],[0,2]]");
  EXPECT_EQ(result["accuracy"], 6.0 / 16);
  EXPECT_EQ(result["prompts"][12]["expected"], prompts[12].digits);
  EXPECT_EQ(result["prompts"][12]["generated"], answers[12]);
  EXPECT_EQ(result["prompts"][12]["hit"], true);
  EXPECT_EQ(result["prompts"][11]["hit"], false);
  EXPECT_EQ(NeedleTable(results),
            "sage: 37.5 % of 16 prompts, form question\n"
            "  depth      600     1000\n"
            "    0 %     75.0     25.0\n"
            "  100 %      0.0     50.0\n");
}

TEST_F(NeedleTest, ARandomModelFindsNothing) {
  NeedleOptions options = Options();
  options.lengths = {300, 600};  // the latter beyond the context
  options.depths = {0.5};
  const std::vector<NeedlePrompt> prompts = Make(options);
  WorkObserver observer;
  const OrderedJson result =
      NeedleJson({RunNeedle(model_, "random", options, prompts, &observer)})[0];
  EXPECT_EQ(result["hits"].dump(), "[[0,0]]");
  EXPECT_EQ(result["accuracy"], 0.0);
  ASSERT_THAT(result["prompts"], SizeIs(8));
  EngineOptions alone;
  alone.max_length = 600;
  alone.num_sampled_ids = model_.tokenizer.VocabSize();
  Engine engine(model_.model, alone);
  for (size_t i = 0; i < prompts.size(); ++i) {
    GenerationRequest request;
    request.prompt = prompts[i].tokens;
    request.max_tokens = 20;
    const std::vector<int32_t> tokens = GenerateAll(&engine, {request})[0];
    EXPECT_EQ(ToText(result["prompts"][i]["generated"]),
              ToText(OrderedJson(model_.tokenizer.Decode(tokens, true))));
  }
}

TEST_F(NeedleTest, DrawsAHeatMap) {
  NeedleOptions options = Options();
  const std::vector<NeedlePrompt> prompts = Make(options);
  std::vector<std::string> answers;
  for (const NeedlePrompt& prompt : prompts) answers.push_back(prompt.digits);
  const std::vector<NeedleResult> results(4, JudgeNeedle("it's", options, prompts, answers));
  EXPECT_THROW(NeedlePlotScript(results, "x.pdf"), Error);
  try {
    RequireGnuplot("--plot");
  } catch (const Error&) {
    GTEST_SKIP() << "needs gnuplot";
  }
  DrawPlot(Path("heat.svg"), NeedlePlotScript(results, "heat.svg"));
  const std::string picture = ReadFile(Path("heat.svg"));
  for (const std::string text : {"it's: 100.0 %", ">600<", ">1000<", ">75<", "depth (%)"}) {
    EXPECT_THAT(picture, HasSubstr(text));
  }
}

}  // namespace
}  // namespace blockformer
