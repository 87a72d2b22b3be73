#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "config/json.h"
#include "data/token_file.h"
#include "tests/data/byte_tokenizer.h"

namespace blockformer {
namespace {

using ::testing::HasSubstr;

class PrepareCommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = ::testing::TempDir() + "prepare_command_" + test->name() + "/";
    std::filesystem::remove_all(directory_);
    MakeDirectories(directory_);
    WriteByteTokenizer(directory_ + "tokenizer.json");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& contents) const {
    WriteFileAtomically(directory_ + name, contents);
    return directory_ + name;
  }

  // Runs the command and returns what it writes to standard output.
  std::string Run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(),
                     {"prepare", "--force", "--tokenizer", directory_ + "tokenizer.json"});
    CLI::App app;
    AddPrepareCommand(app);
    std::ranges::reverse(arguments);  // as CLI11 takes a vector
    ::testing::internal::CaptureStdout();
    try {
      app.parse(arguments);
    } catch (...) {
      ::testing::internal::GetCapturedStdout();
      throw;
    }
    return ::testing::internal::GetCapturedStdout();
  }

  std::string directory_;
};

TEST_F(PrepareCommandTest, SummaryAsJson) {
  const std::string input =
      Write("a.jsonl", "{\"body\": \"the one\"}\n{\"body\": \"\"}\n{\"body\": \"two\"}\n");
  const std::string prefix = directory_ + "new/folder/tokens";
  const std::string output = Run({"--output", prefix, "--field", "body", "--validation-fraction",
                                  "0.5", "--threads", "2", "--json", input});
  const Json summary = ParseJson(output, "output");
  EXPECT_EQ(summary["documents"], 2);
  EXPECT_EQ(summary["empty_documents"], 1);
  EXPECT_EQ(summary["tokens"], 5 + 3);  // "the" is one token
  EXPECT_EQ(summary["bytes"], 7 + 3);
  EXPECT_DOUBLE_EQ(summary["tokens_per_byte"], 0.8);
  EXPECT_EQ(summary["vocab_size"], kByteTokenizerVocabSize);
  EXPECT_EQ(summary["splits"]["train"]["documents"], 1);
  EXPECT_EQ(summary["splits"]["validation"]["prefix"], prefix + "-valid");
  EXPECT_EQ(TokenFile(prefix).NumDocuments(), 1);
  EXPECT_EQ(TokenFile(prefix + "-valid").NumDocuments(), 1);
}

TEST_F(PrepareCommandTest, TheOutputMayBeNamedByOneOfItsFiles) {
  const std::string input = Write("a.txt", "the one");
  Run({"--output", directory_ + "tokens.bin", input});
  EXPECT_EQ(TokenFile(directory_ + "tokens").NumDocuments(), 1);
  for (const std::string& output : {directory_, std::string("-"), directory_ + ".idx"}) {
    try {
      Run({"--output", output, input});
      ADD_FAILURE() << output;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("--output: " + output + ": names no file"));
    }
  }
}

TEST_F(PrepareCommandTest, SummaryAsText) {
  const std::string prefix = directory_ + "tokens";
  const std::string output = Run({"--output", prefix, Write("a.txt", "abc"), Write("b.txt", "de")});
  EXPECT_THAT(output, ::testing::ContainsRegex("train +2 documents +5 tokens +5 bytes"));
}

TEST_F(PrepareCommandTest, ReplaceInvalid) {
  const std::string prefix = directory_ + "tokens";
  const std::string input = Write("a.txt", "\xFF");
  EXPECT_THROW(Run({"--output", prefix, input}), Error);
  Run({"--output", prefix, "--replace-invalid", input});
  EXPECT_EQ(TokenFile(prefix).NumTokens(), 3);
  const std::string half = Write("b.jsonl", "{\"id\": \"\\ud83d\", \"text\": \"\\ud83d\"}\n");
  EXPECT_THROW(Run({"--output", prefix, half}), Error);
  Run({"--output", prefix, "--replace-invalid", half});
  EXPECT_EQ(TokenFile(prefix).NumTokens(), 3);
}

TEST_F(PrepareCommandTest, SpecialTokensAreTextUnlessTheyAreAskedFor) {
  const std::string input = Write("a.jsonl", "{\"text\": \"a<|endoftext|>b<|endoftext|>\"}\n");
  const std::string prefix = directory_ + "tokens";
  EXPECT_THAT(Run({"--output", prefix, input}),
              HasSubstr("special tokens stand 2 times in the documents and became text"));
  EXPECT_EQ(TokenFile(prefix).NumTokens(), 2 + 2 * 13);
  EXPECT_THAT(Run({"--output", prefix, "--parse-special", input}),
              HasSubstr("special tokens stand 2 times in the documents and became tokens"));
  EXPECT_EQ(TokenFile(prefix).NumTokens(), 2 + 2);
  const Json summary = ParseJson(Run({"--output", prefix, "--json", input}), "output");
  EXPECT_EQ(summary["special_tokens"], 2);
  EXPECT_EQ(summary["special_tokens_are"], "text");
}

TEST_F(PrepareCommandTest, NullTextsAreSkippedIfAsked) {
  const std::string input =
      Write("a.jsonl", "{\"text\": null}\n{\"text\": \"a\"}\n{\"text\": null}\n");
  const std::string prefix = directory_ + "tokens";
  EXPECT_THROW(Run({"--output", prefix, input}), Error);
  EXPECT_THAT(Run({"--output", prefix, "--skip-null", input}),
              HasSubstr("2 documents whose text is null were left out"));
  const Json summary =
      ParseJson(Run({"--output", prefix, "--skip-null", "--json", input}), "output");
  EXPECT_EQ(summary["null_documents"], 2);
  EXPECT_EQ(summary["empty_documents"], 0);
  EXPECT_EQ(summary["documents"], 1);
}

TEST_F(PrepareCommandTest, InputFormat) {
  const std::string input = Write("a.txt", "{\"text\": \"abc\"}\n");
  const std::string prefix = directory_ + "tokens";
  EXPECT_THROW(Run({"--output", prefix, input}), Error);
  Run({"--output", prefix, "--input-format", "jsonl", input});
  EXPECT_EQ(TokenFile(prefix).NumTokens(), 3);
  Run({"--output", prefix, "--input-format", "text", input});
  EXPECT_EQ(TokenFile(prefix).NumTokens(), 16);
  EXPECT_THROW(Run({"--output", prefix, "--input-format", "csv", input}), CLI::ValidationError);
}

TEST_F(PrepareCommandTest, MissingFlagsAndFiles) {
  const std::string input = Write("a.txt", "abc");
  EXPECT_THROW(Run({input}), CLI::RequiredError);
  EXPECT_THROW(Run({"--output", directory_ + "tokens"}), CLI::RequiredError);
  EXPECT_THROW(Run({"--output", directory_ + "tokens", "--threads", "0", input}),
               CLI::ValidationError);
  try {
    Run({"--output", directory_ + "tokens", directory_ + "absent.txt"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.what(), HasSubstr("absent.txt"));
  }
}

}  // namespace
}  // namespace blockformer
