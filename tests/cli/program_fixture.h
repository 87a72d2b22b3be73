#ifndef BLOCKFORMER_TESTS_CLI_PROGRAM_FIXTURE_H_
#define BLOCKFORMER_TESTS_CLI_PROGRAM_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/cpu/tiny_model_directory.h"

namespace blockformer {

struct Outcome {
  int exit_code = 0;
  std::string output;  // standard output and error
};

// Runs the program in a folder of its own, which holds a tiny block model.
class ProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/program-test-" + std::to_string(getpid());
    WriteTinyModel(Path("block"), TinyTextConfig());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  // Runs `WRAPPER blockformer ARGUMENTS`, to which a shell may add redirections.
  static Outcome Run(const std::string& arguments, bool with_errors = true,
                     const std::string& wrapper = "") {
    const std::string command =
        wrapper + BLOCKFORMER_PROGRAM + " " + arguments + (with_errors ? " 2>&1" : " 2>/dev/null");
    FILE* pipe = popen(command.c_str(), "r");
    Outcome outcome;
    char buffer[4096];
    while (const size_t count = fread(buffer, 1, sizeof(buffer), pipe)) {
      outcome.output.append(buffer, count);
    }
    outcome.exit_code = WEXITSTATUS(pclose(pipe));
    return outcome;
  }

  // Tokens PREFIX of `text` by a tokenizer that no model here has: its "a" and "b" are exchanged.
  void PrepareWithAnotherTokenizer(const std::string& prefix, const std::string& text) const {
    WriteTinyModel(Path("other"), TinyTextConfig());
    std::string tokenizer = ReadFile(Path("other/tokenizer.json"));
    tokenizer.replace(tokenizer.find("\"a\":98"), 6, "\"a\":99");
    tokenizer.replace(tokenizer.find("\"b\":99"), 6, "\"b\":98");
    WriteFileAtomically(Path("other/tokenizer.json"), tokenizer);
    WriteFileAtomically(Path("other/text.txt"), text);
    const Outcome outcome = Run("prepare --tokenizer " + Path("other") + " --output " +
                                Path(prefix) + " " + Path("other/text.txt"));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }

  std::vector<Json> ReadLines(const std::string& path) const {
    std::istringstream stream(ReadFile(path));
    std::vector<Json> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(ParseJson(line, path));
    return lines;
  }

  std::string directory_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_CLI_PROGRAM_FIXTURE_H_
