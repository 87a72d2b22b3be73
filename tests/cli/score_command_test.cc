// `blockformer score` end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.h"
#include "config/json.h"
#include "tests/cli/program_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class ScoreCommandTest : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    WriteTinyModel(Path("vanilla"), TinyVanillaTextConfig());
  }

  // On one thread, since tests run beside each other.
  Outcome Score(const std::string& model, const std::string& input,
                const std::string& flags = "") const {
    return Run("score --threads 1 " + Path(model) + " --input " + Path(input) + " --output " +
               Path("out.jsonl") + " " + flags);
  }

  std::vector<Json> Scores(const std::string& model, const std::string& lines,
                           const std::string& flags = "") const {
    WriteFileAtomically(Path("in.jsonl"), lines);
    const Outcome outcome = Score(model, "in.jsonl", "--force " + flags);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("tokens/s"));
    return ReadLines(Path("out.jsonl"));
  }

  void ExpectError(const std::string& lines, int code, const std::string& part,
                   const std::string& flags = "") const {
    WriteFileAtomically(Path("bad.jsonl"), lines);
    const Outcome outcome = Score("block", "bad.jsonl", "--force " + flags);
    EXPECT_EQ(outcome.exit_code, code) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(part));
    EXPECT_EQ(std::ranges::count(outcome.output, '\n'), 1) << outcome.output;
    EXPECT_FALSE(FileExists(Path("out.jsonl")));
  }
};

double LogLikelihood(const Json& line) { return line["log_likelihood"].get<double>(); }

// The chain rule: a text is as likely as its beginning and then its end.
TEST_F(ScoreCommandTest, PartsOfATextAddUpInEitherKind) {
  for (const std::string model : {"block", "vanilla"}) {
    const std::vector<Json> lines = Scores(model,
                                           "{\"text\":\"abcdef\"}\n"
                                           "{\"id\":7,\"context\":\"\",\"continuation\":\"abc\"}\n"
                                           "{\"context\":\"abc\",\"continuation\":\"def\"}\n");
    ASSERT_EQ(lines.size(), 3U);
    EXPECT_EQ(lines[0]["tokens"], 6);
    EXPECT_EQ(lines[0]["bytes"], 6);
    EXPECT_EQ(lines[1]["tokens"], 3);
    EXPECT_EQ(lines[1]["id"], 7);
    EXPECT_EQ(lines[2]["continuation"], "def");
    EXPECT_LT(LogLikelihood(lines[0]), -10);
    if (model == "vanilla") {
      // A context "abc" is not the same as "<|endoftext|>abc".
      EXPECT_NE(LogLikelihood(lines[0]), LogLikelihood(lines[1]) + LogLikelihood(lines[2]));
    }
    const std::vector<Json> rest = Scores(model,
                                          "{\"context\":\"<|endoftext|>abc\","
                                          "\"continuation\":\"def\"}\n");
    EXPECT_NEAR(LogLikelihood(lines[0]), LogLikelihood(lines[1]) + LogLikelihood(rest[0]), 1e-4);
  }
}

TEST_F(ScoreCommandTest, LongTextsAreScoredInWindows) {
  const std::string text(150, 'x');  // the context is 64
  const std::vector<Json> lines = Scores("vanilla", "{\"text\":\"" + text + "\"}\n");
  EXPECT_EQ(lines[0]["tokens"], 150);
  // 64 tokens behind the end of text, 64 behind the last of those, and 22 behind the 43 before.
  const auto pair = [](size_t context, size_t continuation) {
    return "{\"context\":\"" + (context == 0 ? "" : std::string(context, 'x')) +
           "\",\"continuation\":\"" + std::string(continuation, 'x') + "\"}\n";
  };
  const std::vector<Json> windows = Scores("vanilla", pair(0, 64) + pair(1, 64) + pair(43, 22));
  EXPECT_NEAR(LogLikelihood(lines[0]),
              LogLikelihood(windows[0]) + LogLikelihood(windows[1]) + LogLikelihood(windows[2]),
              1e-3);
}

TEST_F(ScoreCommandTest, WithoutPaddingTheFirstBlockIsNotScored) {
  const std::string line = "{\"text\":\"abcdef\"}\n";
  EXPECT_EQ(Scores("block", line, "--padding pad")[0]["tokens"], 6);
  // The end-of-text token before the text and its first three.
  EXPECT_EQ(Scores("block", line, "--padding nopad")[0]["tokens"], 3);
}

TEST_F(ScoreCommandTest, ContextsThatAreCutAreTold) {
  const auto line = [](size_t context) {
    return "{\"context\":\"" + std::string(context, 'x') + "\",\"continuation\":\"yz\"}\n";
  };
  WriteFileAtomically(Path("in.jsonl"), line(62) + line(63) + line(70));  // the context is 64
  const Outcome outcome = Score("vanilla", "in.jsonl");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("1 of 3 contexts are longer than the 64 tokens"));
  const std::vector<Json> lines = ReadLines(Path("out.jsonl"));
  EXPECT_FALSE(lines[1].contains("cut_tokens"));
  EXPECT_EQ(lines[2]["cut_tokens"], 7);
  EXPECT_NEAR(LogLikelihood(lines[2]), LogLikelihood(lines[1]), 1e-4);
}

TEST_F(ScoreCommandTest, SpecialTokensCanBeText) {
  const std::string line = "{\"text\":\"<|endoftext|>a\"}\n";
  EXPECT_EQ(Scores("vanilla", line)[0]["tokens"], 2);
  EXPECT_EQ(Scores("vanilla", line, "--plain-text")[0]["tokens"], 14);
}

TEST_F(ScoreCommandTest, LinesThatOtherProgramsWrite) {
  const std::string kept = "{\"id\": 123456789012345678901234567890, \"x\": NaN, ";
  const std::vector<Json> plain = Scores("block", "{\"text\":\"a\uFFFD\"}\n");
  WriteFileAtomically(Path("in.ndjson"), kept + "\"text\": \"a\\ud83d\"}\r\n");
  const Outcome refused = Score("block", "in.ndjson", "--force");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("in.ndjson:1: text: byte"));
  const Outcome outcome = Score("block", "in.ndjson", "--force --replace-invalid");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  const std::string output = ReadFile(Path("out.jsonl"));
  EXPECT_THAT(output, testing::StartsWith(kept + "\"text\": \"a\\ud83d\",\"log_likelihood\":"));
  EXPECT_THAT(output, HasSubstr(plain[0]["log_likelihood"].dump()));
}

TEST_F(ScoreCommandTest, AnEmptyTextHasNothingToScore) {
  const std::vector<Json> lines = Scores("block", "{\"text\":\"\"}\n{\"text\":\"a\"}\n");
  EXPECT_EQ(lines[0]["log_likelihood"], 0.0);
  EXPECT_EQ(lines[0]["tokens"], 0);
  EXPECT_EQ(lines[1]["tokens"], 1);
  EXPECT_EQ(Scores("block", "{\"text\":\"\"}\n").size(), 1U);
}

// A run that was killed leaves lines that are done and one that was cut.
TEST_F(ScoreCommandTest, AnInterruptedRunGoesOn) {
  const std::string input = "{\"text\":\"ab\"}\n{\"text\":\"cd\"}\n{\"text\":\"ef\"}\n";
  const std::vector<Json> whole = Scores("block", input);
  std::filesystem::remove(Path("out.jsonl"));
  // The first run stops at the second line, whose output a file-size limit of 1,024 bytes refuses.
  const std::string long_line = "{\"text\":\"ab\",\"pad\":\"" + std::string(600, 'p') + "\"}\n";
  WriteFileAtomically(Path("in.jsonl"), long_line + long_line + long_line);
  const std::string command = "score --threads 1 " + Path("block") + " --input " +
                              Path("in.jsonl") + " --output " + Path("out.jsonl");
  EXPECT_NE(Run(command, true, "trap '' XFSZ; ulimit -f 2; ").exit_code, 0);
  EXPECT_FALSE(FileExists(Path("out.jsonl")));
  ASSERT_TRUE(FileExists(Path("out.jsonl.partial")));
  EXPECT_NE(std::filesystem::file_size(Path("out.jsonl.partial")), 0U);

  const Outcome other = Score("block", "in.jsonl", "--padding nopad");
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.output, HasSubstr("was begun with other settings"));
  const Outcome outcome = Score("block", "in.jsonl");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("1 of 3 are done, going on"));
  const std::vector<Json> lines = ReadLines(Path("out.jsonl"));
  ASSERT_EQ(lines.size(), 3U);
  for (const Json& line : lines) {  // sums of f32 products depend on what lies beside them
    EXPECT_NEAR(LogLikelihood(line), LogLikelihood(whole[0]), -1e-5 * LogLikelihood(whole[0]));
  }
  EXPECT_FALSE(FileExists(Path("out.jsonl.partial")));
}

TEST_F(ScoreCommandTest, ClearErrorsForWhatCannotBe) {
  ExpectError("{\"text\":\"a\"}\n{\"context\":\"a\"}\n", 2, "bad.jsonl:2: continuation");
  ExpectError("{\"text\":\"a\",\"context\":\"a\"}\n", 2, "bad.jsonl:1: either \"text\" or");
  ExpectError("{\"other\":1}\n", 2, "bad.jsonl:1: either \"text\" or");
  ExpectError(
      "{\"context\":\"a\",\"continuation\":\"\"}\n", 2,
      "adds no token to its context: together they have 1 tokens, the context alone 1; move");
  ExpectError("{\"text\":5}\n", 2, "bad.jsonl:1: text");
  ExpectError("[1]\n", 2, "bad.jsonl:1");
  ExpectError("{\"text\":\n", 1, "bad.jsonl:1");
  ExpectError("{\"text\":\"\xFF\"}\n", 1, "bad.jsonl:1");
  ExpectError("{\"text\":\"a\",\"text\":\"b\"}\n", 1, "bad.jsonl:1");
  ExpectError("{\"context\":\"a\",\"continuation\":\"" + std::string(80, 'x') + "\"}\n", 2,
              "the continuation's 80 tokens are more than the 64");
  ExpectError("{\"text\":\"a\",\"tokens\":3}\n", 2, "bad.jsonl:1: has a field \"tokens\" already");
  const std::string good = "{\"text\":\"a\"}\n";
  ExpectError(good, 2, "--padding: \"left\" is not known", "--padding left");
  ExpectError(good, 2, "--dtype: \"f16\" is not known", "--dtype f16");
  ExpectError(good, 2, "--batch-tokens: 0 is out of range", "--batch-tokens 0");
  ExpectError(good, 2, "--max-length: -1 is out of range", "--max-length -1");
  EXPECT_EQ(Score("block", "absent.jsonl").exit_code, 1);
  const Outcome pipe =
      Run("score " + Path("block") + " --input - --output " + Path("out.jsonl") + " </dev/null");
  EXPECT_EQ(pipe.exit_code, 2);
  EXPECT_THAT(pipe.output, HasSubstr("-: is not a regular file"));
  EXPECT_EQ(Score("absent", "bad.jsonl").exit_code, 1);
  EXPECT_EQ(Scores("block", good).size(), 1U);
  const Outcome again = Score("block", "in.jsonl");
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.output, HasSubstr("out.jsonl: is there already; --force replaces it"));
}

TEST_F(ScoreCommandTest, ATextThatIsNotFiniteIsALineWithAnError) {
  WriteTinyModel(Path("block"), TinyTextConfig(), 3, /*overflowing_id=*/'Z' + 1);
  WriteFileAtomically(
      Path("in.jsonl"),
      "{\"text\":\"abcdef\"}\n{\"text\":\"aZcdefgh\"}\n"
      "{\"context\":\"Zbcdefgh\",\"continuation\":\"abc\"}\n{\"text\":\"xyzxyz\"}\n");
  const Outcome outcome = Score("block", "in.jsonl");
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("out.jsonl: 2 of 4 texts failed; the first, line 2: "));
  const std::vector<Json> lines = ReadLines(Path("out.jsonl"));
  ASSERT_EQ(lines.size(), 4U);
  for (const size_t good : {0, 3}) {
    EXPECT_TRUE(lines[good]["log_likelihood"].is_number());
    EXPECT_FALSE(lines[good].contains("error"));
  }
  for (const size_t bad : {1, 2}) {
    EXPECT_TRUE(lines[bad]["log_likelihood"].is_null());
    EXPECT_THAT(lines[bad]["error"].get<std::string>(), HasSubstr("not a finite number"));
  }
}

}  // namespace
}  // namespace blockformer
