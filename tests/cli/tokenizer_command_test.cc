#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "tests/text/tiny_tokenizer.h"
#include "text/tokenizer.h"

namespace blockformer {
namespace {

using ::testing::HasSubstr;

// Standard output goes into a buffer while it lives.
class RedirectOutput {
 public:
  explicit RedirectOutput(std::streambuf* buffer) : old_(std::cout.rdbuf(buffer)) {}
  ~RedirectOutput() { std::cout.rdbuf(old_); }

 private:
  std::streambuf* old_;
};

// Standard input is a file while it lives.
class RedirectInput {
 public:
  explicit RedirectInput(const std::string& path) : old_(dup(STDIN_FILENO)) {
    const int file = open(path.c_str(), O_RDONLY);
    dup2(file, STDIN_FILENO);
    close(file);
  }
  ~RedirectInput() {
    dup2(old_, STDIN_FILENO);
    close(old_);
  }

 private:
  int old_;
};

class TokenizerCommand : public testing::Test {
 protected:
  // The command does this too, and its first call gives the streams new buffers.
  static void SetUpTestSuite() { std::ios::sync_with_stdio(false); }

  void SetUp() override {
    directory_ = testing::TempDir() + "/tokenizer_command" + std::to_string(getpid());
    MakeDirectories(directory_);
    path_ = directory_ + "/tiny.json";
    WriteFileAtomically(path_, TinyJson());
  }

  // Runs `blockformer tokenizer ARGUMENTS` on `input`; returns what it writes to standard output.
  std::string Run(std::vector<std::string> arguments, const std::string& input) {
    WriteFileAtomically(directory_ + "/input", input);
    return RunOn(directory_ + "/input", std::move(arguments));
  }

  std::string RunOn(const std::string& input, std::vector<std::string> arguments) {
    output_.str("");
    const RedirectInput redirect_in(input);
    const RedirectOutput redirect_out(output_.rdbuf());
    CLI::App app;
    AddTokenizerCommand(app);
    arguments.insert(arguments.begin(), "tokenizer");
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
    app.parse(arguments);
    return output_.str();
  }

  std::string ErrorOf(const std::vector<std::string>& arguments, const std::string& input) {
    try {
      Run(arguments, input);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  std::string directory_;
  std::string path_;
  std::ostringstream output_;
};

TEST_F(TokenizerCommand, EncodesAndDecodesJsonLines) {
  const std::string texts =
      "{\"text\":\"it was the \xE4\xBD\xA0\"}\n{\"text\":\"\\\"\\n\\u0000\"}\n{\"text\":\"\"}\n";
  const std::string ids = Run({"encode", "--tokenizer", path_}, texts);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), '\n'), 3);
  EXPECT_THAT(ids, HasSubstr("{\"ids\":[]}\n"));
  EXPECT_EQ(Run({"decode", "--tokenizer", path_}, ids), texts);
}

TEST_F(TokenizerCommand, EncodesAndDecodesPlainText) {
  const std::string text = "it was\nthe best\n\n";
  const std::string ids = Run({"encode", "--text", "--tokenizer", path_}, text);
  EXPECT_EQ(ids.find('\n'), ids.size() - 1);
  EXPECT_EQ(Run({"decode", "--text", "--tokenizer", path_}, ids), text);
  EXPECT_EQ(Run({"decode", "--text", "--skip-special", "--tokenizer", path_}, "0 1"), "");
}

TEST_F(TokenizerCommand, NamesTheLineOfAnError) {
  const std::vector<std::string> encode = {"encode", "--tokenizer", path_};
  const std::vector<std::string> decode = {"decode", "--tokenizer", path_};
  const std::string good = "{\"text\":\"a\"}\n\n";
  EXPECT_THAT(ErrorOf(encode, good + "{\"text\":1}"), HasSubstr("standard input: line 3: text: 1"));
  EXPECT_THAT(ErrorOf(encode, good + "{\"txt\":1}"), HasSubstr("line 3: text: is missing"));
  EXPECT_THAT(ErrorOf(encode, good + "nonsense"), HasSubstr("line 3: not valid JSON"));
  EXPECT_THAT(ErrorOf(encode, good + "{\"text\":\"\xFF\"}"), HasSubstr("line 3: text: byte 9"));
  EXPECT_EQ(output_.str(), Run(encode, good)) << "lines before the error are written";
  EXPECT_THAT(ErrorOf(decode, "{\"ids\":[330]}"), HasSubstr("line 1: the tokenizer has no token"));
  EXPECT_THAT(ErrorOf(decode, "{\"ids\":[-1]}"), HasSubstr("line 1: ids: -1 is not an id"));
  EXPECT_THAT(ErrorOf(decode, "{\"ids\":7}"), HasSubstr("line 1: ids: a list"));
  EXPECT_THAT(ErrorOf({"decode", "--text", "--tokenizer", path_}, "3 x4"), HasSubstr("\"x4\""));
}

TEST_F(TokenizerCommand, InputThatCannotBeReadIsAnError) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"encode"},
                                                  {"encode", "--text"},
                                                  {"decode"},
                                                  {"decode", "--text"}}) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), {"--tokenizer", path_});
    try {
      RunOn(directory_, arguments);
      ADD_FAILURE() << "is read";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "standard input: cannot read: Is a directory");
    }
  }
}

// Lines come in pieces of a pipe or of a buffer.
TEST_F(TokenizerCommand, LinesMayBeLongAndMany) {
  std::string texts;
  for (size_t length = 1; length < 200'000; length = length * 3 + 1) {
    texts += "{\"text\":\"" + std::string(length, 'a') + "\"}\n";
  }
  const std::string ids = Run({"encode", "--tokenizer", path_}, texts);
  EXPECT_EQ(Run({"decode", "--tokenizer", path_}, ids), texts);
}

TEST_F(TokenizerCommand, ReplacesInvalidUtf8IfAsked) {
  const std::string ids =
      Run({"encode", "--replace-invalid", "--tokenizer", path_}, "{\"text\":\"a\xFFz\"}\n");
  EXPECT_EQ(Run({"decode", "--tokenizer", path_}, ids), "{\"text\":\"a\xEF\xBF\xBDz\"}\n");
  const Tokenizer tokenizer = Tokenizer::Load(path_);
  const std::string half = "{\"ids\":[" + std::to_string(*tokenizer.FindToken("\xE4")) + "]}\n";
  EXPECT_THAT(ErrorOf({"decode", "--tokenizer", path_}, half), HasSubstr("not valid UTF-8"));
  EXPECT_EQ(Run({"decode", "--replace-invalid", "--tokenizer", path_}, half),
            "{\"text\":\"\xEF\xBF\xBD\"}\n");
}

TEST_F(TokenizerCommand, TrainsFromFilesOfAllKinds) {
  WriteFileAtomically(directory_ + "/a.txt", kTinyCorpus);
  WriteFileAtomically(directory_ + "/b.jsonl", "{\"text\":\"low lower lowest low low\"}\n");
  const std::string output = directory_ + "/trained";
  Run({"train", "--vocab-size", "280", "--output", output, directory_ + "/a.txt",
       directory_ + "/b.jsonl"},
      "");
  const Tokenizer tokenizer = Tokenizer::Load(output);
  EXPECT_EQ(tokenizer.VocabSize(), 280);
  EXPECT_TRUE(tokenizer.FindToken("low").has_value());
}

TEST_F(TokenizerCommand, TrainsFromCompressedAndRenamedLines) {
  std::string lines = "{\"text\":\"low lower lowest low low\"}\n";
  lines += lines;  // what occurs twice is learned
  WriteFileAtomically(directory_ + "/b.NDJSON", lines);
  const std::string output = directory_ + "/ndjson";
  const std::vector<std::string> train = {"train", "--force",  "--vocab-size",
                                          "280",   "--output", output};
  std::vector<std::string> arguments = train;
  arguments.push_back(directory_ + "/b.NDJSON");
  Run(arguments, "");
  EXPECT_FALSE(Tokenizer::Load(output).FindToken("ext").has_value());  // of "text"
  WriteFileAtomically(directory_ + "/b.txt", lines);
  arguments.back() = directory_ + "/b.txt";
  EXPECT_THAT(ErrorOf(arguments, ""), HasSubstr("b.txt: holds JSON objects, one a line"));
}

TEST_F(TokenizerCommand, TrainingTakesSpecialTokensForTextUnlessAsked) {
  std::string text;
  for (int i = 0; i < 9; ++i) text += "ab<|endoftext|>";
  WriteFileAtomically(directory_ + "/special.txt", text);
  const std::string output = directory_ + "/special";
  std::vector<std::string> train = {
      "train", "--force", "--vocab-size", "300", "--output", output, directory_ + "/special.txt"};
  testing::internal::CaptureStdout();
  Run(train, "");
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              HasSubstr("special tokens stand 9 times in the documents and were learned as text"));
  EXPECT_TRUE(Tokenizer::Load(output).FindToken("endoftext").has_value());
  train.push_back("--parse-special");
  testing::internal::CaptureStdout();
  Run(train, "");
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              HasSubstr("special tokens stand 9 times in the documents and were left out"));
  EXPECT_EQ(Tokenizer::Load(output).VocabSize(), 259);  // "ab" alone
}

TEST_F(TokenizerCommand, SpecialTokensCanBeText) {
  const std::string line = "{\"text\":\"<|endoftext|>\"}\n";
  EXPECT_EQ(Run({"encode", "--tokenizer", path_}, line), "{\"ids\":[0]}\n");
  const std::string ids = Run({"encode", "--plain-text", "--tokenizer", path_}, line);
  EXPECT_THAT(ids, testing::Not(testing::ContainsRegex("[[,]0[],]")));
  EXPECT_EQ(Run({"decode", "--tokenizer", path_}, ids), line);
}

TEST_F(TokenizerCommand, LinesThatOtherProgramsWrite) {
  const std::vector<std::string> encode = {"encode", "--tokenizer", path_};
  const std::string ids = Run(encode, "{\"text\":\"a\"}\n");
  EXPECT_EQ(Run(encode, "\xEF\xBB\xBF{\"x\": NaN, \"text\":\"a\"}\r\n"), ids);
  EXPECT_EQ(Run(encode, "{\"x\": \"\\ud83d\", \"text\":\"a\"}"), ids);
  EXPECT_THAT(ErrorOf(encode, "{\"text\":\"\\ud83d\"}"), HasSubstr("`replace_invalid`"));
  EXPECT_EQ(Run({"encode", "--replace-invalid", "--tokenizer", path_}, "{\"text\":\"\\ud83d\"}"),
            Run(encode, "{\"text\":\"\\ufffd\"}"));
}

TEST_F(TokenizerCommand, TrainingStopsWhereTheTextEnds) {
  WriteFileAtomically(directory_ + "/short.txt", "ab ab ab");
  const std::string output = directory_ + "/short";
  Run({"train", "--vocab-size", "1000", "--output", output, directory_ + "/short.txt"}, "");
  EXPECT_EQ(Tokenizer::Load(output).VocabSize(), 260);
}

TEST_F(TokenizerCommand, TrainingNamesTheFileOfInvalidText) {
  WriteFileAtomically(directory_ + "/bad.txt", "abc\xFF");
  const std::string output = directory_ + "/bad";
  EXPECT_THAT(
      ErrorOf({"train", "--vocab-size", "300", "--output", output, directory_ + "/bad.txt"}, ""),
      HasSubstr("bad.txt: byte 3 of the text, 0xFF"));
  EXPECT_FALSE(FileExists(output + "/tokenizer.json"));
}

}  // namespace
}  // namespace blockformer
